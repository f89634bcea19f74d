//! The schedule of faults: the same seed gives the same.

use std::fmt;
use std::time::Duration;

use super::judge::history::Kind;

/// A cycle: a storm; time to settle; then one thing at a time that ends a term, each with time enough to be done with;
/// and calm until the next. What is told apart is judged by its own bound.
const CYCLE: Duration = Duration::from_secs(25);
const STORM: Duration = Duration::from_secs(8);
const SETTLES: Duration = Duration::from_millis(2500);

/// In a storm something comes so often, in the mean.
const EVERY: f64 = 0.6;

/// Alone is what begins so long after all before it was over.
const REST: Duration = Duration::from_millis(2500);

/// So long before a driver panics alone its election is handed over.
const BEFORE: Duration = Duration::from_millis(1200);

/// The places whose sessions are direct.
pub(super) const DIRECT: [usize; 3] = [0, 1, 5];

/// Each comes once a round, and in another order each time.
const KINDS: [Kind; 27] = [
    Kind::KilledSession,
    Kind::KilledWhileCut,
    Kind::KilledWhileStopped,
    Kind::KilledProcess,
    Kind::StoppedProcess,
    Kind::CutBoth,
    Kind::CutToServer,
    Kind::CutToClient,
    Kind::SlowNetwork,
    Kind::ResetConnections,
    Kind::StepDown,
    Kind::Transfer,
    Kind::Suspend,
    Kind::Exclude,
    Kind::Priority,
    Kind::Depose,
    Kind::Resign,
    Kind::FailedWork,
    Kind::BlockedRuntime,
    Kind::StoppedDriver,
    Kind::DriverPanic,
    Kind::FullStderr,
    Kind::ClosedStderr,
    Kind::KilledRelay,
    Kind::Leave,
    Kind::Shutdown,
    Kind::BusyProcessors,
];

/// These come twice.
const OFTEN: [Kind; 4] = [
    Kind::KilledSession,
    Kind::KilledProcess,
    Kind::StoppedProcess,
    Kind::StoppedDriver,
];

/// One early in each storm.
const PROMOTIONS: [Kind; 3] = [
    Kind::Promotion,
    Kind::SecondPromotion,
    Kind::DiscardedPromotion,
];

/// One late in each storm, and in every other cycle one alone.
const CRASHES: [Kind; 3] = [Kind::ServerCrash, Kind::BackendCrash, Kind::ServerRestart];

/// What else ends the leader's term, alone.
const ALONE: [Kind; 12] = [
    Kind::KilledProcess,
    Kind::KilledProcess,
    Kind::KilledSession,
    Kind::KilledWhileStopped,
    Kind::StoppedDriver,
    Kind::StepDown,
    Kind::Transfer,
    Kind::Resign,
    Kind::Depose,
    Kind::Shutdown,
    Kind::Exclude,
    Kind::CutBoth,
];

/// Whom a fault shall befall, as far as it can be known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads then.
    Leader,
    /// Whoever is next in line then.
    Successor,
    /// The process with this place in the crew.
    Place(usize),
}

/// A fault that shall come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// After the beginning.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Of which election: its place in the list.
    pub election: usize,
    /// Whom.
    pub target: Target,
    /// For how long, where it lasts.
    pub lasts: Duration,
}

/// What faults are drawn from.
struct Draw {
    random: fastrand::Rng,
    lease: Duration,
    elections: usize,
}

/// The faults of `seconds` in so many elections, in the order of time.
pub fn plan(seed: u64, seconds: u64, lease: Duration, elections: usize) -> Vec<Planned> {
    let mut draw = Draw {
        random: fastrand::Rng::with_seed(seed),
        lease,
        elections,
    };
    let mut decks = Decks {
        kinds: Deck::of(&[&KINDS[..], &OFTEN[..]].concat()),
        promotions: Deck::of(&PROMOTIONS),
        crashes: Deck::of(&CRASHES),
        alone: Deck::of(&ALONE),
    };
    let end = Duration::from_secs(seconds);
    let mut plan = vec![];
    for cycle in 0.. {
        let begin = CYCLE * cycle;
        if begin >= end {
            break;
        }
        storm(&mut plan, begin, &mut decks, &mut draw);
        let at = begin + STORM + SETTLES;
        let crash = cycle % 2 == 0;
        alone(&mut plan, at, crash, &mut decks, &mut draw);
    }
    plan.retain(|planned| planned.at < end);
    plan.sort_by_key(|planned| planned.at);
    plan
}

/// Often several at once, seldom two seconds apart.
fn storm(plan: &mut Vec<Planned>, begin: Duration, decks: &mut Decks, draw: &mut Draw) {
    let end = begin + STORM;
    let mut push = |kind: Kind, at: Duration, draw: &mut Draw| {
        let mut planned = draw.fault(kind, at);
        // It shall be over when all settles.
        if !kind.promotes() {
            planned.lasts = planned.lasts.min(end + SETTLES / 2 - at);
        }
        plan.push(planned);
    };
    let promotes = begin + Duration::from_secs_f64(1.0 + 1.5 * draw.random.f64());
    push(decks.promotions.deal(&mut draw.random), promotes, draw);
    let crashes = end - Duration::from_secs_f64(1.5 * draw.random.f64());
    push(decks.crashes.deal(&mut draw.random), crashes, draw);
    let mut at = begin + Duration::from_millis(500);
    loop {
        let pause = -EVERY * (1.0 - draw.random.f64()).ln();
        at += Duration::from_secs_f64(pause.clamp(0.05, 2.5));
        if at >= end {
            return;
        }
        push(decks.kinds.deal(&mut draw.random), at, draw);
    }
}

/// The leader hangs, twice; the driver of one panics to whom it was handed over; and something else. What hangs often has a fenced transaction open, and then
/// more is to wait for.
fn alone(
    plan: &mut Vec<Planned>,
    mut at: Duration,
    crash: bool,
    decks: &mut Decks,
    draw: &mut Draw,
) {
    let other = match crash {
        true => decks.crashes.deal(&mut draw.random),
        false => decks.alone.deal(&mut draw.random),
    };
    let mut kinds = [
        Kind::StoppedProcess,
        Kind::DriverPanic,
        Kind::StoppedProcess,
        other,
    ];
    draw.random.shuffle(&mut kinds);
    for kind in kinds {
        let mut planned = draw.fault(kind, at);
        if kind == Kind::DriverPanic {
            // Of one whose session is believed when it ends: see `Conductor::victims`.
            let place = DIRECT[draw.random.usize(..DIRECT.len())];
            let mut before = draw.fault(Kind::Transfer, at);
            before.target = Target::Place(place);
            before.election = planned.election;
            plan.push(before);
            at += BEFORE;
            planned.at = at;
        }
        if kind == Kind::StoppedProcess {
            planned.lasts = draw.lease.mul_f64(1.5 + 0.5 * draw.random.f64());
        }
        planned.target = match kind {
            // To whoever is not next in line, half of the time.
            Kind::Transfer if draw.random.bool() => {
                Target::Place(draw.random.usize(..super::crew::PLACES))
            }
            _ => Target::Leader,
        };
        at += planned.lasts + REST;
        plan.push(planned);
    }
}

impl Draw {
    fn fault(&mut self, kind: Kind, at: Duration) -> Planned {
        let Draw {
            random,
            lease,
            elections,
        } = self;
        let target = match random.u32(..10) {
            0..6 => Target::Leader,
            6..8 => Target::Successor,
            _ => Target::Place(random.usize(..super::crew::PLACES)),
        };
        Planned {
            at,
            kind,
            election: random.usize(..*elections),
            target,
            lasts: lasts(random, kind, *lease),
        }
    }
}

struct Decks {
    kinds: Deck,
    promotions: Deck,
    crashes: Deck,
    alone: Deck,
}

/// Kinds that come one round after the other, so that none is missing for long.
struct Deck {
    all: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    fn of(kinds: &[Kind]) -> Deck {
        Deck {
            all: kinds.to_vec(),
            left: vec![],
        }
    }

    fn deal(&mut self, random: &mut fastrand::Rng) -> Kind {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            random.shuffle(&mut self.left);
        }
        self.left.pop().unwrap_or(Kind::KilledSession)
    }
}

/// Shorter than the lease, about as long, or much longer.
fn lasts(random: &mut fastrand::Rng, kind: Kind, lease: Duration) -> Duration {
    let third = random.u32(..3);
    let mut between = |from: f64, to: f64| lease.mul_f64(from + (to - from) * random.f64());
    match kind {
        Kind::StoppedProcess
        | Kind::KilledWhileCut
        | Kind::KilledWhileStopped
        | Kind::CutBoth
        | Kind::CutToServer
        | Kind::CutToClient
        | Kind::BlockedRuntime
        | Kind::StoppedDriver => match third {
            0 => between(0.05, 0.7),
            1 => between(0.7, 1.4),
            _ => between(1.5, 5.0),
        },
        Kind::SlowNetwork | Kind::Suspend => between(0.5, 3.0),
        // Long enough for some terms.
        Kind::SecondPromotion | Kind::DiscardedPromotion => between(1.5, 4.0),
        Kind::Exclude | Kind::FullStderr => between(1.0, 8.0),
        Kind::KilledProcess | Kind::Leave | Kind::Priority | Kind::KilledRelay => between(0.0, 2.0),
        Kind::ServerCrash | Kind::ServerRestart => between(0.0, 1.5),
        Kind::BusyProcessors => between(0.5, 3.0),
        _ => Duration::ZERO,
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, name) = (self.at.as_secs_f64(), self.kind.name());
        write!(f, "{at:7.2} s  {name}")?;
        if !self.kind.hits_server() && self.kind != Kind::BusyProcessors {
            let election = super::election(self.election);
            match self.target {
                _ if self.kind == Kind::KilledRelay => {}
                _ if self.kind == Kind::Suspend => write!(f, " of {election}")?,
                Target::Leader => write!(f, " of the leader of {election}")?,
                Target::Successor => write!(f, " of the successor of {election}")?,
                Target::Place(place) => write!(f, " of candidate {}", place + 1)?,
            }
        }
        match self.lasts.is_zero() {
            true => Ok(()),
            false => write!(f, ", for {:.2} s", self.lasts.as_secs_f64()),
        }
    }
}
