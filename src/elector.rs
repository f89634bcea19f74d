//! One session for the process, and all its elections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::campaign::{Campaign, LeadOutput, Takeover, check_address, check_name};
use crate::candidacy::Candidacy;
use crate::config::Config;
use crate::connection::check;
use crate::driver;
use crate::engine::Key;
use crate::error::{Error, Kind};
use crate::foreign::hands::{Hands, isolated};
use crate::observer::Observer;
use crate::roster::{Roles, Roster};
use crate::session::{Candidate, Command, First};
use crate::standing::Shared;
use crate::term::Term;
use crate::work::Lead;

/// One session to the database, shared by all elections of this process. Cheap to clone.
///
/// It reconnects by itself, for ever. When the last handle of it is gone (clones, [`Candidacy`]s and
/// [`Observer`]s count), it resigns everything in order, in the background; [`shutdown`](Elector::shutdown)
/// waits for that.
#[derive(Clone, Debug)]
pub struct Elector {
    pub(crate) inner: Arc<Membership>,
}

#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) commands: UnboundedSender<Command>,
    takeover: Takeover,
    hands: Hands,
    done: CancellationToken,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    roster: Roster,
    /// Shut down: no candidacy or observer any more.
    shut: bool,
}

/// As long as one of an election is there, its elector does not forget it.
#[derive(Debug)]
pub(crate) struct Hold {
    of: Weak<Membership>,
    shared: Arc<Shared>,
}

impl Hold {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(membership) = self.of.upgrade() {
            membership.entries().roster.release(&self.shared.name);
        }
    }
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
    /// cannot be used; each says what to do. Later losses are no errors: the elector reconnects. Nor is any of this
    /// for [`start`](Elector::start).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connect that is dropped leaves nothing behind.
    pub async fn connect(config: impl Into<Config>) -> Result<Elector, Error> {
        let (first, connected) = oneshot::channel();
        let elector = Elector::begin(config.into(), Some(first))?;
        connected
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::ShutDown)))?;
        Ok(elector)
    }

    /// As [`connect`](Elector::connect), but waits for nothing: where the database cannot be reached yet, or is not fit
    /// yet, this tries again until it is, as after the loss of a session. For services that start before their
    /// database.
    ///
    /// Until there is a session candidacies follow, observers know nothing, and the log says at warn why. A first
    /// session installs the schema as that of `connect` does.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), pg_leader::Error> {
    /// let elector = pg_leader::Elector::start("postgres://app@db/app")?;
    /// let observer = elector.observe("billing")?;
    /// println!("{}", observer.state()); // Unknown, until the database answers.
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the connection string cannot be read, the settings are incoherent, or this process cannot start another
    /// thread. What only a file, the environment or a server can tell is no error here, but is said by the log.
    pub fn start(config: impl Into<Config>) -> Result<Elector, Error> {
        let config = config.into();
        check(&config.conninfo, config.environment)?;
        Elector::begin(config, None)
    }

    fn begin(config: Config, first: Option<First>) -> Result<Elector, Error> {
        let takeover = config.takeover;
        let done = CancellationToken::new();
        let (commands, hands) = driver::spawn(config, done.clone(), first)?;
        Ok(Elector {
            inner: Arc::new(Membership {
                commands,
                takeover,
                hands,
                done,
                entries: Mutex::default(),
            }),
        })
    }

    /// Become a candidate: of the election and with the address of a [`Campaign`], or of a pair of these two. The
    /// candidacy lasts until its last handle is dropped; see [`Candidacy`].
    ///
    /// `lead` is called with each [`Term`] that this process wins; what it returns is the work, which runs as a task
    /// on the present tokio runtime. When that returns `()` or `Ok` the term is resigned, when it returns an error
    /// or panics it has failed ([`LeadOutput`]); either way the candidacy goes on. After a failure this process
    /// holds off for a retry interval, and so it does where the work has ended by itself sooner than a lease:
    /// else it would begin ten terms a second. Who resigns ([`Term::resign`]) does not. A candidacy whose runtime has
    /// been shut down can never work: it leaves.
    ///
    /// The work is dropped when its term ends, at its next `.await`: at once, or, where the campaign is
    /// [graceful](Campaign::graceful), when the time for stopping by itself is over. What it spawns by
    /// [`Term::spawn`] and [`Term::spawn_blocking`] stops with it, and is waited for before anybody else leads. What
    /// it spawns otherwise goes on: a `tokio::task::JoinSet` aborts its tasks when it is dropped, and waits for
    /// none. Work that blocks its thread cannot be dropped; see [`Overrun`](crate::Overrun).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// use pg_leader::{Campaign, Elector};
    ///
    /// let elector = Elector::connect("postgres://app@db/app").await?;
    /// let billing = elector.campaign(("billing", "10.0.0.5:8080"), |term| async move {
    ///     // Recover what the last leader left behind; then:
    ///     term.ready();
    ///     loop {
    ///         send_an_invoice().await; // Dropped here when the term ends.
    ///     }
    /// })?;
    /// let preferred = Campaign::new("mailing", "10.0.0.5:8080").priority(10).graceful(true);
    /// let mailing = elector.campaign(preferred, |term| async move {
    ///     term.ready();
    ///     term.ending().await;
    ///     // Put away what is at hand. Nobody else leads before this returns or is dropped.
    /// })?;
    /// println!("{}, {}", billing.state(), mailing.state());
    /// # async fn send_an_invoice() {}
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When this elector is a candidate of that election already, has been shut down, the name is empty or
    /// longer than 200 characters, the address is empty or longer than 1,000, which a notification carries whatever they
    /// are, either has a NUL in it, or there is no runtime here.
    pub fn campaign<L, F>(&self, campaign: impl Into<Campaign>, lead: L) -> Result<Candidacy, Error>
    where
        L: FnMut(Term) -> F + Send + 'static,
        F: Future<Output: LeadOutput> + Send + 'static,
    {
        let Campaign {
            name,
            address,
            priority,
            takeover,
            graceful,
        } = campaign.into();
        check_name(&name)?;
        check_address(&address)?;
        let runtime =
            Handle::try_current().map_err(|error| Error::caused(Kind::NoRuntime, error))?;
        let left = CancellationToken::new();
        let takeover = takeover.unwrap_or(self.inner.takeover);
        // Where it is refused it is dropped here, and not under a lock: it may be anything.
        let mut lead = Some(Lead::new(lead));
        // A detached candidacy has no handle: what it brings along holds the election too.
        let mut brought = Some(self.inner.hold(&name)?);
        let mut number = 0;
        let (key, hold) = self.inner.entry(&name, |entry, candidacy| {
            if entry.is_candidate() {
                return Err(Error::new(Kind::AlreadyCandidate(name.clone())));
            }
            let (Some(lead), Some(hold)) = (lead.take(), brought.take()) else {
                return Err(Error::new(Kind::ShutDown));
            };
            entry.left = Some(left.clone());
            number = candidacy;
            let candidate = Candidate {
                shared: Arc::clone(&entry.shared),
                address: address.into(),
                priority,
                autopsy: takeover == Takeover::Autopsy,
                graceful,
                _hold: Box::new(hold),
                lead,
                runtime,
                left: left.clone(),
                number,
            };
            let key = entry.key;
            Ok(Command::Join { key, candidate })
        })?;
        Ok(Candidacy::new(self.clone(), key, number, hold, left))
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
    /// When this elector has been shut down, or the name is one that no election has: it is empty, longer than 200
    /// characters, or has a NUL in it.
    pub fn observe(&self, election: &str) -> Result<Observer, Error> {
        check_name(election)?;
        let (_, hold) = self.inner.entry(election, |entry, _| {
            entry.observers += 1;
            Ok(Command::Observe {
                key: entry.key,
                shared: Arc::clone(&entry.shared),
            })
        })?;
        Ok(Observer::new(self.clone(), hold))
    }

    /// Resign every term in order, leave every election, close the session. Waits for work to stop: that of a graceful
    /// campaign up to the grace, then it is dropped; work that cannot be dropped keeps the leadership, and this waiting. Then it
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
        self.inner.tell(Command::Panic(at));
    }
}

impl Membership {
    /// Ask for something that nobody waits for.
    pub(crate) fn tell(&self, command: Command) {
        // A driver that has ended has done it already.
        let _ = self.commands.send(command);
    }

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
        let mut entries = self.entries();
        entries.shut = true;
        self.tell(Command::Shutdown);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never dropped under the lock, which it takes then.
    fn hold(self: &Arc<Self>, name: &str) -> Result<Hold, Error> {
        let mut entries = self.entries();
        if entries.shut {
            return Err(Error::new(Kind::ShutDown));
        }
        let shared = || Shared::new(name.to_owned(), self.hands.clone(), self.done.clone());
        Ok(Hold {
            of: Arc::downgrade(self),
            shared: Arc::clone(&entries.roster.hold(name, shared).shared),
        })
    }

    /// Change an election's entry, and send what comes of it. Under the lock: whatever is accepted reaches the
    /// driver before `Command::Shutdown` does. `change` gets the number of a candidacy, if it is to be one.
    fn entry(
        self: &Arc<Self>,
        name: &str,
        change: impl FnOnce(&mut Roles, u64) -> Result<Command, Error>,
    ) -> Result<(Key, Hold), Error> {
        let hold = self.hold(name)?;
        let mut entries = self.entries();
        if entries.shut {
            return Err(Error::new(Kind::ShutDown));
        }
        let candidacy = entries.roster.next_candidacy();
        let Some(entry) = entries.roster.get_mut(name) else {
            return Err(Error::new(Kind::ShutDown));
        };
        let command = change(entry, candidacy)?;
        let key = entry.key;
        let sent = self.commands.send(command);
        drop(entries);
        sent.map_err(|_| Error::new(Kind::ShutDown))?;
        Ok((key, hold))
    }

    pub(crate) fn unobserve(&self, name: &str) {
        let mut entries = self.entries();
        if let Some(entry) = entries.roster.get_mut(name) {
            entry.observers -= 1;
            if entry.observers == 0 {
                self.tell(Command::Unobserve { key: entry.key });
            }
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.tell(Command::Shutdown);
    }
}
