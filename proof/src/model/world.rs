//! A state of the model: processes, connections, one server, and the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::relative::{DAWN, Relative};
use crate::engine::{Answer, Instant, Key, Request, Stop};
use crate::machine::Machine;
use crate::postgres::{Flaw, Pid, Postgres, UnderWay};

/// The only election.
pub(super) const KEY: Key = Key(1);
pub(super) const ELECTION: &str = "e";

/// Everything, at one moment.
#[derive(Clone)]
pub(crate) struct World {
    /// The server's clock.
    pub(super) now: Instant,
    pub(super) server: Postgres,
    pub(super) hosts: Vec<Host>,
    pub(super) lines: BTreeMap<Pid, Line>,
    /// A session that holds the leadership and is no candidate.
    pub(super) stranger: Option<Pid>,
    /// Another host accepts writes, and somebody leads there.
    pub(super) rival: Option<Rival>,
    pub(super) faults: u8,
    pub(super) orders: u8,
    /// The newest term that ever began, on whichever server, but for those of promotions that were thrown away.
    pub(super) newest: u64,
    /// Every number that was ever given out.
    pub(super) begun: BTreeSet<u64>,
    pub(super) broken: Option<&'static str>,
    /// From here on everything happens in one order only, and some candidate leads: that was followed already.
    pub(super) settled: bool,
    /// What happened, where somebody wants to read it. No part of the state.
    pub(super) log: Option<Vec<String>>,
    pub(super) memory: Memory,
    /// Whether the time is a part of the state.
    pub(super) dated: bool,
}

/// A look at the other host. What was asked first is the oldest: it shows what was there when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Look {
    pub(super) rival: Option<Rival>,
}

/// Another host of the connection string, that accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rival {
    /// On a newer timeline.
    pub(super) higher: bool,
    /// Who held the leadership when it came, and may not have known.
    pub(super) found: Option<Pid>,
}

/// How far back the rules look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// While a request is unanswered, or a leader silent.
    pub(super) long: Duration,
    /// While everybody answers.
    pub(super) short: Duration,
    /// What is waited for counts from the proof that the server is the primary: so long at most.
    pub(super) lease: Duration,
}

/// A process, with its clock and its way to the server.
#[derive(Clone)]
pub(super) struct Host {
    /// None: killed.
    pub(super) machine: Option<Box<dyn Machine>>,
    /// How fast its clock runs, in percent of the server's.
    pub(super) rate: u64,
    pub(super) paused: bool,
    /// Nothing gets to the server, or from it, until it flows again.
    pub(super) stalled_up: bool,
    pub(super) stalled_down: bool,
    pub(super) connecting: bool,
    /// The session of the moment.
    pub(super) line: Option<Pid>,
    pub(super) work: Option<Work>,
    /// What the engine has yet to be told.
    pub(super) stopped: Option<(u64, Stop)>,
    /// What panics when the next thing comes.
    pub(super) panics: Option<Panics>,
    /// When its work began last, by its own clock. No part of the state.
    pub(super) began: Instant,
    /// When that ended by itself, where it had hardly begun.
    pub(super) ended: Option<Instant>,
    /// The greatest term that an answer has told this process of.
    pub(super) told: u64,
    /// It looks at the other host.
    pub(super) looking: Option<Look>,
    /// It has seen that somebody leads there.
    pub(super) saw: bool,
    /// It has gone there.
    pub(super) moved: bool,
}

/// What panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Panics {
    /// The driver, once it has done the first thing that is asked for.
    Driver,
    /// The rules: nothing of what they were about to ask for is done.
    Rules,
}

/// The work of a term, running. It holds a duplicate of its session's socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Work {
    pub(super) term: u64,
    pub(super) line: Pid,
    /// When it was told to stop.
    pub(super) cancelled: Option<Instant>,
}

/// A connection: what is on its way in both directions, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) host: usize,
    pub(super) up: VecDeque<Up>,
    pub(super) down: VecDeque<Down>,
    /// The process has let go of it for good.
    pub(super) closed: bool,
    /// Somebody on the way has forgotten it: nothing arrives any more.
    pub(super) swallowed: bool,
    /// When its process had the proof that the server is the primary.
    pub(super) proved: Instant,
    /// The sending of the last request that was answered, and of those that were not.
    pub(super) contact: Instant,
    pub(super) in_flight: VecDeque<Instant>,
    /// A campaign that stopped half-way.
    pub(super) half: Option<UnderWay>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Up {
    Request(Request),
    Close,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Down {
    /// `told`: the greatest term that it tells of.
    Answer {
        answer: Answer,
        told: u64,
    },
    Refusal(&'static str),
    Notification {
        by: Pid,
        election: Arc<str>,
    },
    End,
}

impl World {
    pub(super) fn new(
        machines: impl Iterator<Item = (Box<dyn Machine>, u64)>,
        flaw: Option<Flaw>,
        (faults, orders): (u8, u8),
        memory: Memory,
    ) -> Self {
        let hosts = machines.map(|(machine, rate)| Host {
            machine: Some(machine),
            rate,
            paused: false,
            stalled_up: false,
            stalled_down: false,
            connecting: false,
            line: None,
            work: None,
            stopped: None,
            panics: None,
            began: DAWN,
            ended: None,
            told: 0,
            looking: None,
            saw: false,
            moved: false,
        });
        World {
            now: DAWN,
            server: Postgres::new(flaw),
            hosts: hosts.collect(),
            lines: BTreeMap::new(),
            stranger: None,
            rival: None,
            faults,
            orders,
            newest: 0,
            begun: BTreeSet::new(),
            broken: None,
            settled: false,
            log: None,
            memory,
            dated: false,
        }
    }

    /// The processes whose work runs now. That of a stopped process does not: when it wakes, the first thing
    /// that it does is to look at its clock.
    pub(super) fn working(&self) -> impl Iterator<Item = (usize, &Work)> {
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter(|(_, host)| !host.paused)
            .filter_map(|(index, host)| Some((index, host.work.as_ref()?)))
    }

    /// The property that does not hold now.
    pub(super) fn violated(&self) -> Option<&'static str> {
        let several = self.working().count() > 1;
        self.broken.or(several.then_some(super::ONE))
    }

    /// The server that is the primary now has never heard of what came after its tables.
    pub(super) fn forget_terms(&mut self) {
        self.newest = self.server.tables().newest_term(ELECTION).unwrap_or(0);
    }

    /// The greatest term that anybody knows of who lives and takes part on the server of the moment.
    fn known(&self) -> u64 {
        let tables = self.server.tables();
        let hosts = self.hosts.iter().filter(|host| host.machine.is_some());
        let takes_part = |host: &&Host| {
            let pid = host.line.filter(|pid| self.server.serves(*pid));
            pid.is_some_and(|pid| tables.candidate_on(ELECTION, pid).is_some())
        };
        let told = hosts.filter(takes_part).map(|host| host.told);
        told.max().unwrap_or(0)
    }

    /// Terms strictly increase as far as anybody can know who lives and takes part, and no number is given out
    /// twice whoever knows (invariant 2).
    pub(super) fn begins(&mut self, term: u64) {
        let known = self.known().max(self.newest);
        if term <= known || !self.begun.insert(term) {
            self.broken = Some(super::TWO);
        }
        self.newest = self.newest.max(term);
    }

    /// Whether something waits for a move of its own.
    pub(super) fn is_held_up(&self) -> bool {
        let host = |host: &Host| host.paused || host.stalled_up || host.stalled_down;
        !self.server.is_up()
            || self.stranger.is_some()
            || self.rival.is_some()
            || self.hosts.iter().any(host)
            || self.lines.values().any(|line| line.half.is_some())
    }

    /// The process that leads, for all that it knows itself.
    pub(super) fn leader(&self) -> Option<(usize, u64)> {
        let mut leading = self.working().filter(|(_, work)| work.cancelled.is_none());
        leading.next().map(|(index, work)| (index, work.term))
    }

    pub(super) fn fingerprint(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self)
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let time = self.now.since(DAWN).as_micros();
            log.push(format!(
                "{:>5}.{} ms  {}",
                time / 1000,
                time % 1000 / 100,
                text()
            ));
        }
    }
}

impl Host {
    /// Its own clock, when the server's shows `now`.
    pub(super) fn clock(&self, now: Instant) -> Instant {
        let passed = now.since(DAWN);
        DAWN + passed * u32::try_from(self.rate).unwrap_or(100) / 100
    }

    /// When the server's clock shows what its own will show at `local`, rounded up.
    pub(super) fn global(&self, local: Instant) -> Instant {
        if local == Instant::NEVER || local <= DAWN {
            return local;
        }
        let passed = local.since(DAWN).as_nanos() * 100;
        let passed = passed.div_ceil(u128::from(self.rate));
        Instant::from_nanos(DAWN.as_nanos() + u64::try_from(passed).unwrap_or(u64::MAX / 2))
    }
}

impl World {
    /// What lies further back than this, in the state of a process, lies equally far.
    ///
    /// The rules look back at the last contact, at unanswered requests and at the silence of a leader: far, but
    /// only while these are old; and at the proof that the server is the primary, while work of another one may
    /// run. Everything else that lies behind is a deadline that has passed, or looked at for two retry intervals
    /// at most.
    fn memory(&self, host: &Host) -> Duration {
        let now = host.clock(self.now);
        let line = host.line.and_then(|pid| self.lines.get(&pid));
        let oldest = line.map_or(now, |line| {
            let unanswered = line.in_flight.front().copied().unwrap_or(now);
            unanswered.min(line.contact)
        });
        let silent = self
            .server
            .leader_silent_since(ELECTION)
            .unwrap_or(self.now);
        let age = now.since(oldest).max(self.now.since(silent));
        let young = line.is_some_and(|line| now.since(line.proved) <= self.memory.lease);
        if age >= self.memory.short || (young && self.server.is_not_the_first()) {
            self.memory.long
        } else {
            self.memory.short
        }
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.dated {
            state.write_u64(self.now.as_nanos());
        }
        let mut hasher = Relative {
            inner: state,
            now: self.now,
            server: self.now,
            memory: self.memory.long,
        };
        self.server.hash(&mut hasher);
        (self.stranger, self.faults, self.orders).hash(&mut hasher);
        self.rival.hash(&mut hasher);
        (self.newest, &self.begun, self.broken).hash(&mut hasher);
        for (index, host) in self.hosts.iter().enumerate() {
            hasher.now = host.clock(self.now);
            hasher.memory = self.memory(host);
            host.machine.hash(&mut hasher);
            (host.paused, host.stalled_up, host.stalled_down).hash(&mut hasher);
            (host.connecting, host.line).hash(&mut hasher);
            host.work.hash(&mut hasher);
            (host.stopped, host.panics, host.told, host.ended).hash(&mut hasher);
            (host.looking, host.saw, host.moved).hash(&mut hasher);
            for (pid, line) in self.lines.iter().filter(|(_, line)| line.host == index) {
                (pid, line).hash(&mut hasher);
            }
        }
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let working: Vec<_> = self.working().collect();
        f.debug_struct("World")
            .field("working", &working)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
