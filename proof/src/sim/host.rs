//! A machine, and the process that runs on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::clock::{Clock, NEVER, Time};
use super::fact::Who;
use super::network::Cid;
use super::work::{Office, Step};
use crate::engine::{
    Answer, Ending, Event, Instant, Key, Office as Asked, Process, Stop, Timings, Try,
};
use crate::postgres::Refusal;
use crate::tells::all_told;

/// A machine. It outlives the processes that run on it.
pub(super) struct Host {
    pub(super) clock: Clock,
    /// What it was set to: all bounds follow from it.
    pub(super) timings: Timings,
    /// What its processes go by: the same, but for a flaw.
    pub(super) ticks_by: Timings,
    /// No proxy between it and the server.
    pub(super) direct: bool,
    /// Whether work that could not be dropped ends the process.
    pub(super) aborts: bool,
    /// The elections in which its process takes part when it starts.
    pub(super) takes_part: Vec<Key>,
    /// Those of them in which how a session ended is not believed.
    pub(super) always_waits: Vec<Key>,
    /// How its candidates rank among the others.
    pub(super) priority: i16,
    /// The least time that a packet takes.
    pub(super) distance: Duration,
    pub(super) path: Path,
    pub(super) power: bool,
    /// The work cannot go on until then.
    pub(super) runtime_blocked_until: Time,
    pub(super) life: u32,
    pub(super) running: Option<Running>,
}

/// What a process that observes follows; which one makes no difference.
pub(super) const OBSERVED: Key = Key(1);

/// What the network between a machine and the server does.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) cut_up: bool,
    pub(super) cut_down: bool,
    pub(super) slow: bool,
    /// The machine is suspended: its kernel answers nothing.
    pub(super) asleep: bool,
}

/// A process: the shipped state machine, and what drives it. Mirrors `src/session/driver`.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) opening: Option<Cid>,
    pub(super) line: Option<Line>,
    pub(super) elections: BTreeMap<Key, Candidate>,
    pub(super) observes: bool,
    pub(super) halted: Option<Halt>,
    /// What came while it was halted.
    pub(super) inbox: VecDeque<Input>,
    pub(super) wake_at: Time,
    pub(super) wake_number: u64,
    /// It was told to shut down.
    pub(super) stopping: bool,
    pub(super) finished: bool,
    /// The greatest terms that answers have told it of.
    pub(super) told: BTreeMap<Key, u64>,
    /// How many of its tries brought nothing.
    pub(super) lost_tries: u32,
    /// Where it asked for office in vain.
    pub(super) refused: BTreeSet<Key>,
    /// How often it has tried.
    pub(super) turn: usize,
    /// What it has seen to be led on the other host, and whether that is on a newer timeline.
    pub(super) saw: (Vec<Key>, bool),
    /// It has gone there, and comes back where this is given up.
    pub(super) away: Option<Cid>,
}

/// Why no instruction of a process is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The process alone: its timers go on.
    Stopped,
    /// The whole machine: its timers stand still, its clock does not.
    Suspended,
}

/// The session of the moment, and until when its terms are current: mirrors `Pulse`.
pub(super) struct Line {
    pub(super) cid: Cid,
    /// Zero once it has passed, for good.
    pub(super) until: Instant,
}

pub(super) struct Candidate {
    pub(super) autopsy: bool,
    pub(super) office: Option<Office>,
    /// A term that began and is not on record as vacated.
    pub(super) owed: Option<(u64, Ending)>,
    /// The candidacy is to end.
    pub(super) leaves: bool,
    /// Its id is known, since it was joined once.
    pub(super) joined: bool,
}

/// What comes to a process.
pub(super) enum Input {
    Timer,
    Opened(Cid),
    NotOpened(Cid),
    Reply {
        cid: Cid,
        sent: Instant,
        answer: Result<Answer, Refusal>,
    },
    Notified {
        cid: Cid,
        keys: Vec<Key>,
    },
    Ended(Cid),
    Command(Command),
    Work {
        key: Key,
        term: u64,
        step: Step,
    },
}

/// What the application asks of the driver.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Join { key: Key, autopsy: bool },
    Observe { any: bool },
    Ready { key: Key, term: u64 },
    Fail { key: Key, term: u64 },
    Resign { key: Key, term: u64 },
    GiveUp { key: Key },
    Leave { key: Key },
    Shutdown,
    WorkStopped { key: Key, term: u64, stop: Stop },
}

impl Host {
    pub(super) fn who(&self, host: usize) -> Who {
        Who {
            host,
            life: self.life,
        }
    }

    /// Whether it may lead: its process runs, and takes part.
    pub(super) fn is_candidate(&self, key: Key) -> bool {
        self.running.is_some() && self.takes_part.contains(&key)
    }

    /// How long TCP waits for a packet to arrive: whole seconds, as the options of a session say.
    pub(super) fn patience_of_tcp(&self) -> Duration {
        Duration::from_secs(self.timings.silence_limit.as_millis().div_ceil(1000) as u64)
    }

    /// Its kernel answers nothing.
    pub(super) fn is_silent(&self) -> bool {
        !self.power || self.path.asleep
    }

    pub(super) fn now(&self, now: Time) -> Instant {
        self.clock.at(now)
    }
}

impl Running {
    pub(super) fn new(process: Process) -> Running {
        Running {
            process,
            opening: None,
            line: None,
            elections: BTreeMap::new(),
            observes: false,
            halted: None,
            inbox: VecDeque::new(),
            wake_at: NEVER,
            wake_number: 0,
            stopping: false,
            finished: false,
            told: BTreeMap::new(),
            lost_tries: 0,
            refused: BTreeSet::new(),
            turn: 0,
            saw: (vec![], false),
            away: None,
        }
    }

    pub(super) fn office(&mut self, key: Key) -> Option<&mut Office> {
        self.elections.get_mut(&key)?.office.as_mut()
    }

    /// Whether any work that holds this connection's socket still runs.
    pub(super) fn works_on(&self, cid: Cid) -> bool {
        self.elections
            .values()
            .filter_map(|candidate| candidate.office.as_ref())
            .any(|office| office.running && office.cid == cid)
    }

    /// Take what came to the state machine's event; `None` where it is of no use to it.
    pub(super) fn event(&mut self, now: Instant, input: Input) -> Option<Event> {
        match input {
            Input::Timer => Some(Event::Timer),
            Input::Opened(cid) => {
                self.opening.take_if(|opening| *opening == cid)?;
                self.line = Some(Line { cid, until: now });
                self.refused.clear();
                Some(Event::Connected)
            }
            Input::NotOpened(cid) => {
                self.opening.take_if(|opening| *opening == cid)?;
                Some(Event::Disconnected)
            }
            Input::Reply { cid, sent, answer } => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                let Ok(answer) = answer else {
                    return Some(Event::Disconnected);
                };
                for (key, term) in all_told(&answer) {
                    if self.elections.contains_key(&key) {
                        let told = self.told.entry(key).or_default();
                        *told = (*told).max(term);
                    }
                }
                match &answer {
                    Answer::Office { key, office } if !matches!(office, Asked::Began { .. }) => {
                        self.refused.insert(*key);
                    }
                    Answer::Campaigned { tries }
                        if tries.iter().all(|(_, tried)| matches!(tried, Try::Held(_))) =>
                    {
                        self.lost_tries += 1;
                    }
                    _ => {}
                }
                for (key, term) in answer.begun() {
                    if let Some(candidate) = self.elections.get_mut(&key) {
                        candidate.owed = Some((term, Ending::Deposed));
                    }
                }
                if let Answer::Joined { key, .. } = &answer
                    && let Some(candidate) = self.elections.get_mut(key)
                {
                    candidate.joined = true;
                }
                let rows = vec![];
                Some(Event::Answered { sent, answer, rows })
            }
            Input::Notified { cid, mut keys } => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                keys.retain(|key| self.elections.contains_key(key));
                (!keys.is_empty()).then_some(Event::Hint { keys })
            }
            Input::Ended(cid) => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                Some(Event::Disconnected)
            }
            Input::Command(command) => Some(match command {
                Command::Join { key, autopsy } => {
                    let candidate = Candidate {
                        autopsy,
                        office: None,
                        owed: None,
                        leaves: false,
                        joined: false,
                    };
                    self.elections.insert(key, candidate);
                    Event::Join { key, autopsy }
                }
                Command::Observe { any } => {
                    self.observes = any;
                    if any {
                        Event::Observe { key: OBSERVED }
                    } else {
                        Event::Unobserve { key: OBSERVED }
                    }
                }
                Command::Ready { key, term } => Event::Ready { key, term },
                Command::Fail { key, term } => Event::Failed { key, term },
                Command::Resign { key, term } => Event::Resign { key, term },
                Command::GiveUp { key } => Event::GiveUp { key },
                Command::Leave { key } => {
                    if let Some(candidate) = self.elections.get_mut(&key) {
                        candidate.leaves = true;
                    }
                    Event::Leave { key }
                }
                Command::Shutdown => Event::Shutdown,
                Command::WorkStopped { key, term, stop } => Event::WorkStopped { key, term, stop },
            }),
            Input::Work { .. } => None,
        }
    }
}
