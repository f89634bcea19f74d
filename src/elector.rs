//! One session for the process, and all its elections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::config::{Campaign, Config, Takeover};
use crate::engine::Key;
use crate::error::{Error, Kind};
use crate::leader::Leader;
use crate::observer::Observer;
use crate::session::hands::{Hands, isolated};
use crate::session::{self, BoxError, Candidate, Command, Lead};
use crate::standing::Shared;
use crate::term::Term;

/// One session to the database, shared by all elections of this process. Cheap to clone.
///
/// It reconnects by itself, for ever. When the last handle of it is gone (clones, [`Leader`]s and
/// [`Observer`]s count), it resigns everything in order, in the background; [`shutdown`](Elector::shutdown)
/// waits for that.
#[derive(Clone, Debug)]
pub struct Elector {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) commands: UnboundedSender<Command>,
    takeover: Takeover,
    hands: Hands,
    done: CancellationToken,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_name: HashMap<String, Entry>,
    last_key: u32,
    /// Shut down: no candidacy or observer any more.
    shut: bool,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    shared: Arc<Shared>,
    observers: usize,
    /// The candidacy; over once this is cancelled.
    left: Option<CancellationToken>,
    /// How many candidacies there were: what a handle asks is not for a later one.
    candidacies: u64,
}

impl Elector {
    /// Connect, prove that the server can hold a leadership, and install the schema where it is missing
    /// and the role may ([`Config::install`]; later connects never do). From a connection string or a [`Config`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// use std::time::Duration;
    /// use pg_leader::{Config, Elector};
    ///
    /// let elector = Elector::connect("postgres://app@db/app").await?;
    /// let patient = Elector::connect(
    ///     Config::new("postgres://app@db/app").lease(Duration::from_secs(5)),
    /// )
    /// .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// The first connect of a process puts a panic hook before the one that is set: a panic of this library's own
    /// threads is said by the log, which waits for nobody; all others go to the hook that was there.
    ///
    /// # Errors
    ///
    /// When the settings are incoherent, no server can be reached, the server is unfit or the schema
    /// cannot be used; each says what to do. Later losses are no errors: the elector reconnects.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connect that is dropped leaves nothing behind.
    pub async fn connect(config: impl Into<Config>) -> Result<Elector, Error> {
        let config = config.into();
        let takeover = config.takeover;
        let done = CancellationToken::new();
        let (commands, connected, hands) = session::spawn(config, done.clone())?;
        let elector = Elector {
            inner: Arc::new(Inner {
                commands,
                takeover,
                hands,
                done,
                entries: Mutex::default(),
            }),
        };
        connected
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::ShutDown)))?;
        Ok(elector)
    }

    /// Become a candidate. `lead` is called with each [`Term`] that this process wins; what it returns is
    /// the work, which runs as a task on the present tokio runtime. When it returns `Ok` the term is
    /// resigned, when it returns an error or panics it has failed; either way the candidacy goes on. After
    /// a failure this process holds off for a retry interval.
    ///
    /// The work is dropped when its term ends, at its next `.await`: at once, or, where it has called
    /// [`Term::deposed`], when the time for stopping by itself is over. What it spawns by [`Term::spawn`]
    /// and [`Term::spawn_blocking`] stops with it, and is waited for before anybody else leads. What it
    /// spawns otherwise goes on: a `tokio::task::JoinSet` aborts its tasks when it is dropped, and waits for
    /// none. Work that blocks its thread cannot be dropped; see [`Overrun`](crate::Overrun).
    ///
    /// `address` is what followers and observers are told: where this process can be reached.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// let elector = pg_leader::Elector::connect("postgres://app@db/app").await?;
    /// let leader = elector.campaign("billing", "10.0.0.5:8080", |term| async move {
    ///     // Recover what the last leader left behind; then:
    ///     term.ready();
    ///     term.deposed().await;
    ///     // Put away what is at hand. Nobody else leads before this returns or is dropped.
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// println!("{}", leader.state());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When this elector is a candidate of that election already, has been shut down, the name is empty or
    /// longer than 200 characters, the address is empty, or there is no runtime here.
    pub fn campaign<L, F, E>(&self, election: &str, address: &str, lead: L) -> Result<Leader, Error>
    where
        L: FnMut(Term) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.campaign_with(Campaign::default(), election, address, lead)
    }

    /// As [`campaign`](Elector::campaign), with what holds for this election alone: a [`Campaign`], or a
    /// [`Takeover`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// use pg_leader::{Campaign, Elector};
    ///
    /// let elector = Elector::connect("postgres://app@db/app").await?;
    /// let preferred = Campaign::default().priority(10);
    /// elector.campaign_with(preferred, "billing", "10.0.0.5:8080", |term| async move {
    ///     term.ready();
    ///     term.deposed().await;
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`campaign`](Elector::campaign).
    pub fn campaign_with<L, F, E>(
        &self,
        campaign: impl Into<Campaign>,
        election: &str,
        address: &str,
        lead: L,
    ) -> Result<Leader, Error>
    where
        L: FnMut(Term) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let length = election.chars().count();
        if !(1..=200).contains(&length)
            || address.is_empty()
            || election.contains('\0')
            || address.contains('\0')
        {
            return Err(Error::new(Kind::Name));
        }
        let runtime =
            Handle::try_current().map_err(|error| Error::caused(Kind::NoRuntime, error))?;
        let left = CancellationToken::new();
        let Campaign { priority, takeover } = campaign.into();
        let takeover = takeover.unwrap_or(self.inner.takeover);
        // Where it is refused it is dropped here, and not under a lock: it may be anything.
        let mut lead = Some(Lead::new(lead));
        let mut candidacy = 0;
        let (key, shared) = self.inner.entry(election, |entry| {
            if entry.left.as_ref().is_some_and(|left| !left.is_cancelled()) {
                return Err(Error::new(Kind::AlreadyCandidate(election.to_owned())));
            }
            let Some(lead) = lead.take() else {
                return Err(Error::new(Kind::ShutDown));
            };
            entry.left = Some(left.clone());
            entry.candidacies += 1;
            candidacy = entry.candidacies;
            let candidate = Candidate {
                shared: Arc::clone(&entry.shared),
                address: address.into(),
                priority,
                autopsy: takeover == Takeover::Autopsy,
                lead,
                runtime,
                left: left.clone(),
                number: candidacy,
            };
            let key = entry.key;
            Ok(Command::Join { key, candidate })
        })?;
        Ok(Leader {
            elector: self.clone(),
            key,
            candidacy,
            shared,
            left,
        })
    }

    /// Follow an election without being a candidate. Nobody needs to have joined it yet.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// let elector = pg_leader::Elector::connect("postgres://app@db/app").await?;
    /// let observer = elector.observe("billing")?;
    /// match observer.address() {
    ///     Ok(address) => println!("the leader is at {address}"),
    ///     Err(why) => println!("{why}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When this elector has been shut down.
    pub fn observe(&self, election: &str) -> Result<Observer, Error> {
        let (key, shared) = self.inner.entry(election, |entry| {
            entry.observers += 1;
            Ok(Command::Observe {
                key: entry.key,
                shared: Arc::clone(&entry.shared),
            })
        })?;
        Ok(Observer {
            elector: self.clone(),
            key,
            shared,
        })
    }

    /// Resign every term in order, leave every election, close the session. Waits for work to stop: up to
    /// the grace, then it is dropped; work that cannot be dropped keeps the leadership, and this waiting. Then it
    /// tells the database, for half a lease at least.
    /// Without a database it tries to tell of the last term's end for no longer than the grace, and then it waits
    /// up to a second for the log.
    ///
    /// From its call on no candidacy and no observer is accepted any more: that is an error.
    ///
    /// A process that ends without it is not unsafe: the next leader begins at its next probe where the
    /// connection was direct, else after a lease.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: once called the shutdown goes on, whether or not anybody waits for it.
    pub async fn shutdown(&self) {
        self.inner.shut();
        isolated(self.inner.hands.clone(), self.inner.done.cancelled()).await;
    }
}

#[cfg(feature = "testing")]
impl Elector {
    pub(crate) fn panic_driver(&self, at: crate::testing::PanicAt) {
        let _ = self.inner.commands.send(Command::Panic(at));
    }
}

impl Inner {
    /// Ask for something and wait until it is done, or everything is over.
    pub(crate) async fn ask(&self, command: Command, done: &CancellationToken) {
        if self.commands.send(command).is_ok() {
            let over = async {
                tokio::select! {
                    biased;
                    () = done.cancelled() => {}
                    () = self.done.cancelled() => {}
                }
            };
            isolated(self.hands.clone(), over).await;
        }
    }

    /// From here on nothing new is accepted.
    fn shut(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.shut = true;
        // A driver that has ended is what is asked for.
        let _ = self.commands.send(Command::Shutdown);
    }

    /// Change an election's entry, and send what comes of it. Under the lock: whatever is accepted reaches the
    /// driver before `Command::Shutdown` does.
    fn entry(
        &self,
        name: &str,
        change: impl FnOnce(&mut Entry) -> Result<Command, Error>,
    ) -> Result<(Key, Arc<Shared>), Error> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.shut {
            return Err(Error::new(Kind::ShutDown));
        }
        let Entries {
            by_name, last_key, ..
        } = &mut *entries;
        let entry = by_name.entry(name.to_owned()).or_insert_with(|| {
            *last_key += 1;
            let shared = Arc::new(Shared::new(
                name.to_owned(),
                self.hands.clone(),
                self.done.clone(),
            ));
            Entry {
                key: Key(*last_key),
                shared,
                observers: 0,
                left: None,
                candidacies: 0,
            }
        });
        let command = change(entry)?;
        let (key, shared) = (entry.key, Arc::clone(&entry.shared));
        let sent = self.commands.send(command);
        drop(entries);
        sent.map_err(|_| Error::new(Kind::ShutDown))?;
        Ok((key, shared))
    }

    pub(crate) fn unobserve(&self, name: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.by_name.get_mut(name) {
            entry.observers -= 1;
            if entry.observers == 0 {
                let _ = self.commands.send(Command::Unobserve { key: entry.key });
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Shutdown);
    }
}
