//! The driver: event in, action out, on a thread of its own.
//!
//! Its runtime is its own too, so that a blocked application can neither starve the heartbeat nor fake it.

mod actions;
mod events;
mod line;
mod open;
mod waits;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::line::Line;
use self::open::Opened;
use self::waits::Waits;
use super::queries::Reply;
use super::statements::Request;
use super::watch::Watch;
use super::work::Lead;
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind};
use crate::protocol::{Event, Key, Process, Stop, Timings};
use crate::standing::Shared;
use crate::term::TermState;

/// What the handles ask of the driver.
pub(crate) enum Command {
    Join {
        key: Key,
        candidate: Candidate,
    },
    Observe {
        key: Key,
        shared: Arc<Shared>,
    },
    Unobserve {
        key: Key,
    },
    Ready {
        key: Key,
        term: u64,
    },
    /// Something of the work has failed; the rest of it may still run.
    Fail {
        key: Key,
        term: u64,
    },
    Resign {
        key: Key,
        term: u64,
    },
    Leave {
        key: Key,
    },
    Shutdown,
    WorkStopped {
        key: Key,
        term: u64,
        stop: Stop,
    },
}

/// What a candidacy brings along.
pub(crate) struct Candidate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Arc<str>,
    pub(crate) priority: i32,
    pub(crate) autopsy: bool,
    pub(crate) lead: Lead,
    pub(crate) runtime: Handle,
    /// Cancelled when the candidacy is over.
    pub(crate) left: CancellationToken,
}

/// An election that this process follows, as candidate, observer or both.
struct Election {
    name: Arc<str>,
    shared: Arc<Shared>,
    id: Option<i32>,
    candidate: Option<Candidate>,
    observed: bool,
    office: Option<Office>,
    /// What an operator asked for that ends the term.
    request: Option<Arc<Request>>,
    waits: Waits,
}

/// A term whose work was started here.
struct Office {
    state: Arc<TermState>,
    stopped: bool,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Error>>>>;

struct Driver {
    config: Config,
    timings: Timings,
    process: Process,
    watch: Arc<Watch>,
    commands: UnboundedReceiver<Command>,
    sender: UnboundedSender<Command>,
    elections: BTreeMap<Key, Election>,
    /// Waits for the first session, which reports to the caller of `connect`.
    first: Option<oneshot::Sender<Result<(), Error>>>,
    opening: Option<Opening>,
    line: Option<Line>,
    /// Replies that were there at once.
    early: Vec<Reply>,
    instance: Option<Arc<str>>,
    finished: bool,
}

/// Whether the first session came about.
pub(crate) type Connected = oneshot::Receiver<Result<(), Error>>;

/// Start the driver. It ends after `Command::Shutdown`, when all is over; `done` is cancelled then.
pub(crate) fn spawn(
    config: Config,
    done: CancellationToken,
) -> Result<(UnboundedSender<Command>, Connected), Error> {
    let timings = config.timings()?;
    let (sender, commands) = unbounded_channel();
    let (first, connected) = oneshot::channel();
    let seed = seed();
    let handle = sender.clone();
    let watch = Watch::start(&timings, config.overrun)
        .map_err(|error| Error::caused(Kind::Thread, error))?;
    let thread = std::thread::Builder::new()
        .name("pg-leader".to_owned())
        .spawn(move || {
            // Also when the driver panics: nobody may wait for it for ever.
            let _done = done.drop_guard();
            let watch = watch;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = first.send(Err(Error::caused(Kind::Thread, error)));
                    return;
                }
            };
            let driver = Driver {
                process: Process::new(timings.clone(), seed),
                config,
                timings,
                watch: Arc::clone(&watch.0),
                commands,
                sender,
                elections: BTreeMap::new(),
                first: Some(first),
                opening: None,
                line: None,
                early: vec![],
                instance: None,
                finished: false,
            };
            runtime.block_on(driver.run());
            // A hook for credentials that hangs must not keep the thread.
            runtime.shutdown_background();
        });
    thread.map_err(|error| Error::caused(Kind::Thread, error))?;
    Ok((handle, connected))
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}

impl Driver {
    async fn run(mut self) {
        self.handle(Event::Timer);
        while !self.finished {
            let event = self.next_event().await;
            if let Some(event) = event {
                self.handle(event);
            }
        }
    }

    /// Take an event to the state machine, and do what it says.
    fn handle(&mut self, event: Event) {
        self.process.handle(clock::now(), event);
        loop {
            if let Some(line) = &self.line
                && let Some(until) = self.process.current_until()
                && !line.leash.extend(until)
            {
                // A reader saw the deadline pass before the machine did: then it has passed.
                self.process.handle(clock::now(), Event::Disconnected);
            }
            match self.process.poll() {
                Some(action) => self.perform(action),
                None => break,
            }
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        if let Some(reply) = self.early.pop() {
            return self.replied(reply);
        }
        let wait = self.process.deadline().since(clock::now()).min(self.tick());
        let opening = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => std::future::pending().await,
            }
        };
        let line = async {
            match &mut self.line {
                Some(line) => line.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            heard = line => self.heard(heard),
            opened = opening => self.opened(opened),
            command = self.commands.recv() => self.commanded(command.unwrap_or(Command::Shutdown)),
            () = tokio::time::sleep(wait) => Some(Event::Timer),
        }
    }

    /// Timers stand still while the machine is suspended, deadlines do not: look at the clock often while
    /// anything hangs on it.
    fn tick(&self) -> Duration {
        let leads = self
            .elections
            .values()
            .any(|election| election.office.is_some());
        if leads {
            self.timings.lease / 20
        } else {
            Duration::from_secs(1)
        }
    }
}
