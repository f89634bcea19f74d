//! A machine, and the process that runs on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::clock::{Clock, NEVER, Time};
use super::connection::Cid;
use super::elections::key;
use super::fact::Who;
use super::flaw::Instead;
use super::office::{Office, Step};
use crate::engine::{
    Answer, Id, Input, Instant, Key, Notification, Office as Asked, Setup, Timings, Try,
};
use crate::machine::Machine;
use crate::postgres::{Pid, Refusal};
use crate::tells::done;

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
    pub(super) priority: i32,
    /// Its processes are nothing without a first session.
    pub(super) fails_fast: bool,
    /// The least time that a packet takes.
    pub(super) distance: Duration,
    pub(super) path: Path,
    pub(super) power: bool,
    /// The work cannot go on until then.
    pub(super) runtime_blocked_until: Time,
    pub(super) life: u32,
    /// How many candidacies its processes have had.
    pub(super) candidacies: u64,
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

/// A process: the shipped engine, and what is around it.
pub(super) struct Running {
    pub(super) engine: Box<dyn Machine>,
    pub(super) opening: Option<Cid>,
    pub(super) line: Option<Line>,
    pub(super) elections: BTreeMap<Key, Candidate>,
    pub(super) halted: Option<Halt>,
    /// What came while it was halted.
    pub(super) inbox: VecDeque<Arrival>,
    pub(super) wake_at: Time,
    pub(super) wake_number: u64,
    pub(super) panics: Option<Panics>,
    /// A reader has seen the terms of the session end before they were extended.
    pub(super) overtaken: bool,
    /// It has had a session.
    pub(super) connected: bool,
    /// Where somebody waits until what is held is given up; the term that was current then.
    pub(super) resigning: BTreeMap<Key, Option<u64>>,
    /// Where somebody waits until the candidacy is over.
    pub(super) leaving: BTreeSet<Key>,
    /// It was told to shut down.
    pub(super) stopping: bool,
    pub(super) finished: bool,
    /// The greatest terms that answers have told it of.
    pub(super) told: BTreeMap<Key, u64>,
    /// The ids of elections, as answers have told them.
    pub(super) ids: BTreeMap<Id, Key>,
    /// How many of its tries brought nothing.
    pub(super) lost_tries: u32,
    /// Where it asked for office in vain.
    pub(super) refused: BTreeSet<Id>,
    /// How often it has tried.
    pub(super) turn: usize,
    /// For each request under way, what becomes of its answer where the world is broken so.
    pub(super) instead: VecDeque<Instead>,
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

/// What panics when the next thing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panics {
    /// The driver, after so many of the things that are asked for.
    Driver { after: u64 },
    /// The rules: nothing of what they were about to ask for is done.
    Rules,
}

/// The session of the moment, and until when its terms are current.
pub(super) struct Line {
    pub(super) cid: Cid,
    /// Its backend.
    pub(super) pid: Pid,
    /// Zero once it has passed, for good.
    pub(super) until: Instant,
    /// What its engine has asked on it and is not answered, oldest first.
    pub(super) under_way: VecDeque<&'static str>,
}

pub(super) struct Candidate {
    /// Which of its process.
    pub(super) number: u64,
    /// Its work is given time to stop.
    pub(super) graceful: bool,
    pub(super) office: Option<Office>,
}

/// What comes to a process.
pub(super) enum Arrival {
    Timer,
    Opened(Cid),
    NotOpened(Cid),
    Reply {
        cid: Cid,
        answer: Result<Answer, Refusal>,
        told: Vec<(Key, u64)>,
    },
    Notified {
        cid: Cid,
        notification: Notification,
    },
    Ended(Cid),
    /// Of the application, by a handle, or of its work.
    Asked(Input),
    Work {
        key: Key,
        term: u64,
        step: Step,
    },
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

    pub(super) fn setup(&self) -> Setup {
        Setup {
            timings: self.ticks_by.clone(),
            aborts: self.aborts,
            fails_fast: self.fails_fast,
        }
    }

    pub(super) fn panics(&mut self, panics: Panics) {
        if let Some(running) = self.running.as_mut() {
            running.panics = Some(panics);
        }
    }
}

impl Running {
    pub(super) fn new(engine: Box<dyn Machine>) -> Running {
        Running {
            engine,
            opening: None,
            line: None,
            elections: BTreeMap::new(),
            halted: None,
            inbox: VecDeque::new(),
            wake_at: NEVER,
            wake_number: 0,
            panics: None,
            overtaken: false,
            connected: false,
            resigning: BTreeMap::new(),
            leaving: BTreeSet::new(),
            stopping: false,
            finished: false,
            told: BTreeMap::new(),
            ids: BTreeMap::new(),
            lost_tries: 0,
            refused: BTreeSet::new(),
            turn: 0,
            instead: VecDeque::new(),
            saw: (vec![], false),
            away: None,
        }
    }

    pub(super) fn office(&mut self, key: Key) -> Option<&mut Office> {
        self.elections.get_mut(&key)?.office.as_mut()
    }

    /// Whether any work of an election runs.
    pub(super) fn works(&self, key: Key) -> bool {
        let office = self.elections.get(&key).and_then(|c| c.office.as_ref());
        office.is_some_and(|office| office.running)
    }

    /// Whether any work that holds this connection's socket still runs.
    pub(super) fn works_on(&self, cid: Cid) -> bool {
        self.elections
            .values()
            .filter_map(|candidate| candidate.office.as_ref())
            .any(|office| office.running && office.cid == cid)
    }

    /// What the engine is told of what came; nothing where it is no concern of its.
    pub(super) fn input(
        &mut self,
        now: Instant,
        arrival: Arrival,
        pid: Pid,
        direct: bool,
    ) -> Option<Input> {
        match arrival {
            Arrival::Timer => Some(Input::Timer),
            Arrival::Opened(cid) => {
                self.opening.take_if(|opening| *opening == cid)?;
                self.connected = true;
                self.line = Some(Line {
                    cid,
                    pid,
                    until: now,
                    under_way: VecDeque::new(),
                });
                self.refused.clear();
                self.instead.clear();
                let instance = "".into();
                Some(Input::Opened {
                    pid,
                    direct,
                    instance,
                    hosts: None,
                })
            }
            Arrival::NotOpened(cid) => {
                self.opening.take_if(|opening| *opening == cid)?;
                Some(Input::NotOpened {
                    why: "nobody answers".into(),
                    schema: false,
                    outage: true,
                })
            }
            Arrival::Reply { cid, answer, told } => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(Refusal(why)) => {
                        self.instead.pop_front();
                        return Some(Input::Refused { why: why.into() });
                    }
                };
                self.note(&answer, told);
                let answer = match self.instead.pop_front() {
                    Some(instead) => instead.of(answer)?,
                    None => answer,
                };
                Some(Input::Answered(answer))
            }
            Arrival::Notified { cid, notification } => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                Some(Input::Notified(vec![notification]))
            }
            Arrival::Ended(cid) => {
                self.line.as_ref().filter(|line| line.cid == cid)?;
                Some(Input::Lost { why: None })
            }
            Arrival::Asked(input) => {
                self.asked(now, &input);
                Some(input)
            }
            Arrival::Work { .. } => None,
        }
    }

    fn note(&mut self, answer: &Answer, told: Vec<(Key, u64)>) {
        for (key, term) in told {
            if self.elections.contains_key(&key) {
                let told = self.told.entry(key).or_default();
                *told = (*told).max(term);
            }
        }
        match answer {
            Answer::Joined(joined) => {
                let ids = done(joined);
                let ids = ids.filter_map(|(name, one)| Some((one.election, key(name)?)));
                self.ids.extend(ids);
            }
            Answer::Office(offices) => {
                let refused = done(offices);
                let refused = refused.filter(|(_, office)| !matches!(office, Asked::Began { .. }));
                self.refused.extend(refused.map(|(id, _)| *id));
            }
            Answer::Campaigned(tries)
                if done(tries).all(|(_, one)| matches!(one.tried, Try::Held(_))) =>
            {
                self.lost_tries += 1;
            }
            _ => {}
        }
    }

    /// The oldest request of its engine under way, where this answers it.
    pub(super) fn answered(&mut self, input: &Input) -> Option<&'static str> {
        let answers = matches!(input, Input::Answered(_) | Input::Refused { .. });
        let line = self.line.as_mut().filter(|_| answers)?;
        line.under_way.pop_front()
    }

    /// The term whose work runs here on the session of the moment, where nobody can have seen it end.
    fn current(&self, now: Instant, key: Key) -> Option<u64> {
        let office = self.elections.get(&key)?.office.as_ref()?;
        let line = self.line.as_ref()?;
        let current = office.running && line.cid == office.cid && now < line.until;
        current.then_some(office.term)
    }

    /// What a handle asks for, or the work tells.
    fn asked(&mut self, now: Instant, input: &Input) {
        match input {
            Input::GiveUp { key, candidacy } => {
                let number = self.elections.get(key).map(|candidate| candidate.number);
                if number == Some(*candidacy) {
                    let term = self.current(now, *key);
                    self.resigning.entry(*key).or_insert(term);
                }
            }
            Input::Leave { key, .. } => {
                self.leaving.insert(*key);
            }
            Input::Join { key, candidature } => {
                let candidate = Candidate {
                    number: candidature.number,
                    graceful: candidature.graceful,
                    office: None,
                };
                // Who waited for the earlier one may hear of this one's end, or of nothing.
                self.resigning.remove(key);
                self.leaving.remove(key);
                self.elections.insert(*key, candidate);
            }
            Input::Stopped { key, term, .. } => {
                if let Some(office) = self.office(*key)
                    && office.term == *term
                {
                    office.over = true;
                }
            }
            _ => {}
        }
    }
}
