//! The servers: a primary and its standby, and what can befall them. And the proxies in front of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pg_leader::testing::{Cluster, ClusterError};

use super::faults::Faults;
use super::proxy::Proxy;
use super::{ELECTIONS, writer};
use crate::Result;
use crate::judge::history::Kind;

/// A hang fails, noise does not.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    primary: Mutex<Arc<Cluster>>,
    /// None while a new one is being made.
    standby: Mutex<Option<Arc<Cluster>>>,
    pub(super) proxies: Vec<Proxy>,
    faults: Faults,
    at_work: AtomicBool,
    /// How many standbys there have been: candidates that connect directly must learn of each.
    standbys: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Stage {
    /// A primary with the schema, its standby, and proxies to the primary.
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
        primary.execute(writer::TABLE)?;
        let standby = primary.standby()?;
        let port = primary.port();
        let proxies = (0..proxies)
            .map(|_| runtime.block_on(Proxy::start(port)))
            .collect();
        Ok(Stage {
            primary: Mutex::new(Arc::new(primary)),
            standby: Mutex::new(Some(Arc::new(standby))),
            proxies,
            faults,
            at_work: AtomicBool::new(false),
            standbys: AtomicU64::new(1),
            failure: Mutex::default(),
        })
    }

    pub(super) fn primary(&self) -> Arc<Cluster> {
        Arc::clone(&lock(&self.primary))
    }

    pub(super) fn standbys(&self) -> u64 {
        self.standbys.load(Ordering::SeqCst)
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
            .both()
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
        let both = self.both();
        let hosts: Vec<String> = both
            .iter()
            .map(|cluster| cluster.socket_dir().display().to_string())
            .collect();
        let ports: Vec<String> = both
            .iter()
            .map(|cluster| cluster.port().to_string())
            .collect();
        format!(
            "host={} port={} user=postgres dbname=postgres target_session_attrs=read-write",
            hosts.join(","),
            ports.join(",")
        )
    }

    fn both(&self) -> Vec<Arc<Cluster>> {
        let standby = lock(&self.standby).clone();
        [self.primary()].into_iter().chain(standby).collect()
    }

    /// Let a fault befall the servers, on a thread of its own. False when they are not ready for it.
    pub(super) fn befall(self: &Arc<Stage>, kind: Kind, lasts: Duration) -> bool {
        let lacks_standby = kind == Kind::Promotion && lock(&self.standby).is_none();
        if lacks_standby || self.at_work.swap(true, Ordering::SeqCst) {
            return false;
        }
        let stage = Arc::clone(self);
        std::thread::spawn(move || {
            let id = stage.faults.begin(kind, None, None);
            if let Err(error) = stage.perform(kind, lasts, id) {
                *lock(&stage.failure) = Some(format!("{}: {error}", kind.name()));
            }
            stage.at_work.store(false, Ordering::SeqCst);
        });
        true
    }

    fn perform(&self, kind: Kind, lasts: Duration, id: u64) -> Result<(), ClusterError> {
        let primary = self.primary();
        match kind {
            Kind::BackendCrash => match primary.leader_pid(ELECTIONS[0])? {
                Some(pid) => {
                    primary.kill_backend(pid)?;
                    self.until_it_answers(&primary)?;
                }
                None => self.faults.missed(Some(id), "nobody leads"),
            },
            Kind::Promotion => return self.promote(primary, id),
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

    /// The primary is gone for good, the standby takes its place, and a new standby is made.
    fn promote(&self, primary: Arc<Cluster>, id: u64) -> Result<(), ClusterError> {
        let Some(standby) = lock(&self.standby).take() else {
            self.faults.missed(Some(id), "there is no standby");
            return Ok(());
        };
        primary.stop_immediate()?;
        standby.promote()?;
        *lock(&self.primary) = Arc::clone(&standby);
        for proxy in &self.proxies {
            proxy.lead_to(standby.port());
        }
        self.faults.end(id);
        drop(primary);
        *lock(&self.standby) = Some(Arc::new(standby.standby()?));
        self.standbys.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// After a backend was killed the server takes the others down and comes back by itself.
    fn until_it_answers(&self, primary: &Cluster) -> Result<(), ClusterError> {
        let deadline = Instant::now() + PATIENCE;
        // It may answer once more before it has noticed.
        std::thread::sleep(Duration::from_millis(100));
        loop {
            match primary.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
