//! How much may go wrong in one exploration.

use std::time::Duration;

use super::world::Panics;
use crate::postgres::Cause;

/// What is explored. Everything that may go wrong may do so at every step, until the faults are used up.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// What it is called in reports.
    pub name: &'static str,
    /// How many candidates there are, and how fast the clock of each runs, in percent of the server's.
    pub rates: Vec<u64>,
    /// Whether the sessions are direct. Otherwise a proxy may close them.
    pub direct: bool,
    /// Work that cannot be dropped: its process aborts.
    pub stubborn: bool,
    /// `takeover = AlwaysWait`: the way in which a session ended is not believed.
    pub always_wait: bool,
    /// The lease of all candidates. An answer may come later than that where it is below a second.
    pub lease: Duration,
    /// How often what comes regularly comes.
    pub pace: Pace,
    /// Whether things begin before anybody is connected. Otherwise the first process has led for a while.
    pub from_the_start: bool,
    /// Whether things begin when the first term has ended in order, and nobody leads yet.
    pub vacated: bool,
    /// For how long things are looked at, where the steady state is no circle: clocks that run unequally never
    /// show the same again.
    pub horizon: Option<Duration>,
    /// How many faults there may be.
    pub faults: u8,
    /// How many orders of the application or an operator there may be: that work ends by itself or by request.
    pub orders: u8,
    /// Which faults there may be.
    pub menu: Vec<Fault>,
}

/// How often what comes regularly comes. Every deadline of the protocol is a multiple of L/20 already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Heartbeats, probes and retries alike every L/20, which makes the steady state a small circle.
    Even,
    /// Heartbeats every L/8, as shipped, and retries every L/4.
    Shipped,
}

/// Something that goes wrong. What can get well again, does so after any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A process is stopped, and goes on after any time.
    Pause,
    /// A process is killed.
    Kill,
    /// The driver of a process panics, at rest or midway through what it is to do, or the rules of its engine do. It is
    /// put back on its engine.
    Panic,
    /// What a process sends to the server is held up for any time, for ever too.
    StallUp,
    /// What the server sends to a process is held up for any time, for ever too.
    StallDown,
    /// A process is cut off, in both directions; either may flow again after any time.
    Cut,
    /// A connection is forgotten on the way: nothing arrives any more, nobody is told.
    Swallow,
    /// A session is ended by an operator, who is counted.
    Killed,
    /// A session is ended by an error, which is counted.
    Fatal,
    /// A proxy closes its connection to the server, and the other one never.
    Proxy,
    /// A statement is held up half-way.
    Half,
    /// The server refuses what is asked of the election, and nothing else.
    Refuse,
    /// The server crashes, and starts after any time.
    Crash,
    /// The server is shut down, and starts after any time.
    Restart,
    /// A standby takes over that knows everything, or lacks the last term.
    Promote,
    /// A promotion is thrown away: the server that was replaced comes back, and knows nothing of it.
    Discard,
    /// Another standby of the server that was replaced takes over, on the same timeline.
    PromoteAnother,
    /// An operator resets the statistics.
    Reset,
    /// Somebody who is no candidate takes the leadership's lock, and lets it go after any time.
    Stranger,
    /// Another host accepts writes too, on an older or a newer timeline, and somebody leads there, who works until
    /// that host is stopped after any time.
    Rival,
}

impl Fault {
    /// Every fault that a direct connection knows.
    pub const DIRECT: [Fault; 18] = [
        Fault::Pause,
        Fault::Kill,
        Fault::Panic,
        Fault::StallUp,
        Fault::StallDown,
        Fault::Cut,
        Fault::Swallow,
        Fault::Killed,
        Fault::Fatal,
        Fault::Half,
        Fault::Refuse,
        Fault::Crash,
        Fault::Restart,
        Fault::Promote,
        Fault::Discard,
        Fault::PromoteAnother,
        Fault::Reset,
        Fault::Stranger,
    ];
}

impl Bounds {
    /// Two candidates on direct connections, all kinds of faults, `faults` of them and `orders` orders.
    #[must_use]
    pub fn two(name: &'static str, faults: u8, orders: u8) -> Self {
        Bounds {
            name,
            rates: vec![100, 100],
            direct: true,
            stubborn: false,
            always_wait: false,
            lease: Duration::from_secs(1),
            pace: Pace::Even,
            from_the_start: false,
            vacated: false,
            horizon: None,
            faults,
            orders,
            menu: Fault::DIRECT.to_vec(),
        }
    }

    /// Three candidates, otherwise as [`Bounds::two`].
    #[must_use]
    pub fn three(name: &'static str, faults: u8, orders: u8) -> Self {
        Bounds {
            rates: vec![100, 100, 100],
            ..Bounds::two(name, faults, orders)
        }
    }

    /// No faults but these.
    #[must_use]
    pub fn only(mut self, menu: &[Fault]) -> Self {
        self.menu = menu.to_vec();
        self
    }

    /// Connections through a proxy, which may close them.
    #[must_use]
    pub fn indirect(mut self) -> Self {
        self.direct = false;
        self.menu.push(Fault::Proxy);
        self
    }

    /// Work that cannot be dropped.
    #[must_use]
    pub fn stubborn(mut self) -> Self {
        self.stubborn = true;
        self
    }

    /// Clocks at these rates, in percent of the server's, for so many leases.
    #[must_use]
    pub fn clocks(mut self, rates: &[u64], leases: u32) -> Self {
        self.rates = rates.to_vec();
        self.horizon = Some(self.lease * leases);
        self
    }

    /// With this lease.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// From before anybody is connected.
    #[must_use]
    pub fn from_the_start(mut self) -> Self {
        self.from_the_start = true;
        self
    }

    /// From the moment at which the first term has ended in order: nothing tells a server that lost a later one
    /// to wait.
    #[must_use]
    pub fn vacated(mut self) -> Self {
        self.vacated = true;
        self
    }

    /// Heartbeats as often as shipped.
    #[must_use]
    pub fn shipped_pace(mut self) -> Self {
        self.pace = Pace::Shipped;
        self
    }

    /// The endings of sessions prove nothing.
    #[must_use]
    pub fn always_wait(mut self) -> Self {
        self.always_wait = true;
        self
    }
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// The next thing that happens by itself. Where nothing is left to do, time passes until it is.
    Go,
    Pause(usize),
    Wake(usize),
    Kill(usize),
    Panic(usize),
    PanicSoon(usize, Panics),
    StallUp(usize),
    StallDown(usize),
    Cut(usize),
    FlowUp(usize),
    FlowDown(usize),
    Swallow(usize),
    End(usize, Cause),
    Proxy(usize),
    Half(usize),
    Whole(usize),
    Refuse(usize),
    Crash,
    ShutDown,
    Start,
    Promote {
        lossy: bool,
    },
    Discard,
    PromoteAnother,
    Reset,
    StrangerComes,
    StrangerGoes,
    RivalComes {
        higher: bool,
    },
    RivalGoes,
    /// Work that was told to stop does so at once. Otherwise it goes on until it is dropped.
    Stop(usize),
    Return(usize),
    Fail(usize),
    Resign(usize),
    StepDown,
}
