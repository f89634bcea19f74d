//! The servers: a primary and its standbys, and what can befall them. And the proxies in front of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pg_leader::testing::Cluster;

use super::faults::Faults;
use super::judge::history::Kind;
use super::relay::Relay;
use crate::proxy::Proxy;
use crate::{Result, candidate};

/// A hang fails, noise does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two of one primary can be promoted to the same timeline.
const STANDBYS: usize = 2;

pub(super) struct Stage {
    primary: Mutex<Arc<Cluster>>,
    /// Of the primary; fewer while new ones are being made.
    standbys: Mutex<Vec<Arc<Cluster>>>,
    /// What was the primary, and will be again.
    aside: Mutex<Option<Arc<Cluster>>>,
    pub(super) proxies: Vec<Proxy>,
    relay: Mutex<Relay>,
    faults: Faults,
    at_work: AtomicBool,
    /// How often there have been new standbys: candidates that connect directly must learn of them.
    renewals: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Stage {
    /// A primary with the schema, its standbys, and proxies to the primary.
    pub(super) fn start(
        runtime: &tokio::runtime::Runtime,
        proxies: usize,
        faults: Faults,
    ) -> Result<Stage> {
        let primary = Cluster::builder()
            .setting("wal_keep_size", "512MB")
            .setting("wal_retrieve_retry_interval", "200ms")
            // A server that is told to stop waits so long for connections that have not said a word: those through a
            // proxy that swallows their bytes. Its default is a minute.
            .setting("authentication_timeout", "3s")
            .start()?;
        runtime.block_on(async {
            let elector = pg_leader::Elector::connect(primary.url()).await?;
            elector.shutdown().await;
            Ok::<_, pg_leader::Error>(())
        })?;
        primary.execute(candidate::TABLE)?;
        let standbys = (0..STANDBYS)
            .map(|_| Ok(Arc::new(primary.standby()?)))
            .collect::<Result<_>>()?;
        let relay = Relay::start(&primary)?;
        let port = primary.port();
        let proxies = (0..proxies)
            .map(|_| runtime.block_on(Proxy::start(port)))
            .collect();
        Ok(Stage {
            primary: Mutex::new(Arc::new(primary)),
            standbys: Mutex::new(standbys),
            aside: Mutex::default(),
            proxies,
            relay: Mutex::new(relay),
            faults,
            at_work: AtomicBool::new(false),
            renewals: AtomicU64::new(0),
            failure: Mutex::default(),
        })
    }

    pub(super) fn primary(&self) -> Arc<Cluster> {
        Arc::clone(&lock(&self.primary))
    }

    pub(super) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::SeqCst)
    }

    /// The proxy of a Unix socket.
    pub(super) fn relay(&self) -> MutexGuard<'_, Relay> {
        lock(&self.relay)
    }

    /// Whether a server is being stopped, started, promoted or made.
    pub(super) fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::SeqCst)
    }

    /// Why a server did not do what it was told.
    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// For a candidate that connects by TCP to whichever server is the primary.
    pub(super) fn url(&self) -> String {
        let hosts: Vec<String> = self
            .all()
            .iter()
            .map(|cluster| format!("127.0.0.1:{}", cluster.port()))
            .collect();
        format!(
            "postgres://postgres@{}/postgres?target_session_attrs=read-write",
            hosts.join(",")
        )
    }

    /// The same by Unix socket.
    pub(super) fn socket_conninfo(&self) -> String {
        let all = self.all();
        let hosts: Vec<String> = all
            .iter()
            .map(|cluster| cluster.socket_dir().display().to_string())
            .collect();
        let ports: Vec<String> = all
            .iter()
            .map(|cluster| cluster.port().to_string())
            .collect();
        format!(
            "host={} port={} user=postgres dbname=postgres target_session_attrs=read-write",
            hosts.join(","),
            ports.join(",")
        )
    }

    /// Every server that is the primary, or may become it.
    fn all(&self) -> Vec<Arc<Cluster>> {
        let (aside, standbys) = (lock(&self.aside).clone(), lock(&self.standbys).clone());
        [self.primary()]
            .into_iter()
            .chain(aside)
            .chain(standbys)
            .collect()
    }

    /// Let a fault befall the servers, on a thread of its own. False when they are not ready for it.
    pub(super) fn befall(self: &Arc<Stage>, kind: Kind, lasts: Duration) -> bool {
        let lacks_standby = kind.promotes() && lock(&self.standbys).len() < STANDBYS;
        if lacks_standby || self.at_work.swap(true, Ordering::SeqCst) {
            return false;
        }
        let stage = Arc::clone(self);
        std::thread::spawn(move || {
            if let Err(error) = stage.perform(kind, lasts) {
                *lock(&stage.failure) = Some(format!("{}: {error}", kind.name()));
            }
            stage.at_work.store(false, Ordering::SeqCst);
        });
        true
    }

    fn perform(&self, kind: Kind, lasts: Duration) -> Result<()> {
        match kind {
            Kind::Promotion => {
                self.promote(kind)?;
                return self.restock();
            }
            Kind::SecondPromotion => {
                self.promote(Kind::Promotion)?;
                std::thread::sleep(lasts);
                self.promote(kind)?;
                return self.restock();
            }
            Kind::DiscardedPromotion => return self.promote_and_discard(lasts),
            _ => {}
        }
        let id = self.faults.begin(kind, None, None);
        let primary = self.primary();
        match kind {
            Kind::BackendCrash => match primary.leader_pid(&super::election(0))? {
                Some(pid) => {
                    primary.kill_backend(pid)?;
                    self.until_it_answers(&primary)?;
                }
                None => self.faults.missed(Some(id), "nobody leads"),
            },
            _ => {
                match kind {
                    Kind::ServerRestart => primary.stop_fast()?,
                    _ => primary.stop_immediate()?,
                }
                std::thread::sleep(lasts);
                primary.start_again()?;
            }
        }
        self.faults.end(id);
        Ok(())
    }

    /// The primary is gone for good, and a standby of it takes its place.
    fn promote(&self, kind: Kind) -> Result<()> {
        let standby = {
            let mut standbys = lock(&self.standbys);
            let first = (!standbys.is_empty()).then(|| standbys.remove(0));
            first.ok_or("there is no standby")?
        };
        let id = self.faults.begin(kind, None, None);
        self.primary().stop_immediate()?;
        standby.promote()?;
        self.lead_to(standby)?;
        self.faults.end(id);
        Ok(())
    }

    /// A standby takes its place until it is thrown away; then the primary goes on as if nothing had been.
    fn promote_and_discard(&self, lasts: Duration) -> Result<()> {
        let primary = self.primary();
        *lock(&self.aside) = Some(Arc::clone(&primary));
        self.promote(Kind::DiscardedPromotion)?;
        std::thread::sleep(lasts);
        let id = self.faults.begin(Kind::Discard, None, None);
        self.primary().stop_immediate()?;
        primary.start_again()?;
        self.lead_to(primary)?;
        *lock(&self.aside) = None;
        self.faults.end(id);
        self.restock()
    }

    fn lead_to(&self, primary: Arc<Cluster>) -> Result<()> {
        for proxy in &self.proxies {
            proxy.lead_to(primary.port());
        }
        self.relay().lead_to(&primary)?;
        *lock(&self.primary) = primary;
        Ok(())
    }

    /// New standbys, where one is missing or follows another primary.
    fn restock(&self) -> Result<()> {
        let primary = self.primary();
        let follows = |standby: &Arc<Cluster>| {
            let primary = format!("'%port={} %'", primary.port());
            let query = format!("SELECT current_setting('primary_conninfo') LIKE {primary}");
            matches!(standby.query(&query), Ok(Some(yes)) if yes == "t")
        };
        let standbys = lock(&self.standbys).clone();
        let mut standbys: Vec<_> = standbys.into_iter().filter(follows).collect();
        while standbys.len() < STANDBYS {
            standbys.push(Arc::new(primary.standby()?));
        }
        *lock(&self.standbys) = standbys;
        self.renewals.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// After a backend was killed the server takes the others down and comes back by itself.
    fn until_it_answers(&self, primary: &Cluster) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // It may answer once more before it has noticed.
        std::thread::sleep(Duration::from_millis(100));
        loop {
            match primary.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
