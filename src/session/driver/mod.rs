//! The driver: event in, action out, on a thread of its own.
//!
//! Its runtime is its own too, so that a blocked application can neither starve the heartbeat nor fake it.
//! It acts first and says afterwards, and it runs nothing of the application's: what wakes, drops or calls
//! what is not ours goes to [`Hands`], what is to be said to [`Log`]. It waits for neither.

mod actions;
mod events;
mod hosts;
mod line;
mod memory;
mod open;
#[cfg(all(test, feature = "testing"))]
mod suspended;
mod thread;
mod trouble;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::hosts::Lookout;
use self::line::Line;
use self::open::Opened;
pub(crate) use self::thread::spawn;
use self::trouble::Trouble;
use super::hands::Hands;
use super::log::{Entry, Log};
use super::queries::Reply;
use super::rivals::Rivals;
use super::statements::Request;
use super::watch::Watch;
use super::work::Lead;
use crate::clock;
use crate::config::Config;
use crate::engine::{Ending, Event, Key, Process, Stop, Timings};
use crate::error::Error;
use crate::standing::Shared;
use crate::term::TermState;
#[cfg(feature = "testing")]
use crate::testing::PanicAt;

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
    /// Resign what is held or about to be taken; `told` is cancelled when it is over.
    GiveUp {
        key: Key,
        candidacy: u64,
        told: CancellationToken,
    },
    Leave {
        key: Key,
        candidacy: u64,
    },
    Shutdown,
    WorkStopped {
        key: Key,
        term: u64,
        stop: Stop,
    },
    #[cfg(feature = "testing")]
    Panic(PanicAt),
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
    /// Of this process in this election.
    pub(crate) number: u64,
}

/// An election that this process follows, as candidate, observer or both.
struct Election {
    name: Arc<str>,
    shared: Arc<Shared>,
    id: Option<i32>,
    candidate: Option<Candidate>,
    /// The candidacy is to end.
    leaves: bool,
    observed: bool,
    office: Option<Office>,
    /// A term that began and is not on record as vacated.
    owed: Option<(u64, Ending)>,
    /// That of the newest term that has begun for this process.
    token: Option<Arc<str>>,
    /// What an operator asked for that ends this term. It is told with the vacate, on whatever session that is sent.
    request: Option<(u64, Arc<Request>)>,
}

/// A term that others see led here, until its work has stopped and it is vacated.
struct Office {
    state: Arc<TermState>,
    /// From here on its guard says when nothing of the work runs any more.
    started: bool,
    stopped: bool,
}

impl Office {
    fn works(&self) -> bool {
        self.started && !self.stopped
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Error>>>>;

struct Driver {
    config: Config,
    timings: Timings,
    watch: Arc<Watch>,
    sender: UnboundedSender<Command>,
    hands: Hands,
    /// For what starts work: a term whose work never starts would be led all the same.
    starters: Hands,
    log: Log,
    memory: Memory,
    process: Process,
    opening: Option<Opening>,
    /// With several hosts and a session: the others are looked at.
    lookout: Option<Lookout>,
    rivals: Rivals,
    trouble: Trouble,
    line: Option<Line>,
    /// Replies that were there at once.
    early: Vec<Reply>,
    /// What is said once all is done that one event asks for.
    said: Vec<Entry>,
    finished: bool,
    #[cfg(feature = "testing")]
    panic_at: Option<PanicAt>,
}

/// What a panic of the driver leaves as it is: plain data, complete after every step.
struct Memory {
    commands: UnboundedReceiver<Command>,
    /// Taken from `commands`, and not noted yet.
    command: Option<Command>,
    elections: BTreeMap<Key, Election>,
    /// Who waits until something is given up.
    resigning: Vec<(Key, CancellationToken)>,
    /// To be shut down.
    stops: bool,
    /// Waits for the first session, which reports to the caller of `connect`.
    first: Option<oneshot::Sender<Result<(), Error>>>,
    instance: Option<Arc<str>>,
}

impl Driver {
    async fn run(&mut self) {
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
            #[cfg(feature = "testing")]
            self.trip(PanicAt::Action);
        }
        self.log.say_all(std::mem::take(&mut self.said));
    }

    async fn next_event(&mut self) -> Option<Event> {
        if let Some(reply) = self.early.pop() {
            return self.replied(reply);
        }
        let due = self.process.deadline().since(clock::now());
        let wait = due.min(self.process.look_every());
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
        let looked = async {
            match &mut self.lookout {
                Some(lookout) => lookout.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            looked = looked => self.looked(looked),
            heard = line => self.heard(heard),
            opened = opening => self.opened(opened),
            command = self.memory.commands.recv() => {
                self.memory.command = Some(command.unwrap_or(Command::Shutdown));
                #[cfg(feature = "testing")]
                self.trip(PanicAt::Command);
                self.note_command()
            }
            () = tokio::time::sleep(wait) => Some(Event::Timer),
        }
    }
}
