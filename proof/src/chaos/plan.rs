//! The schedule of faults: the same seed gives the same.

use std::fmt;
use std::time::Duration;

use crate::judge::history::Kind;

/// Calm comes so often, and lasts so long: then nothing hinders anybody, and somebody must lead.
const CYCLE: Duration = Duration::from_secs(50);
const CALM: Duration = Duration::from_secs(10);

/// No two faults of the server come closer: it has to come back between them.
const SERVER_REST: Duration = Duration::from_secs(6);

/// A new standby has to be made, and candidates have to learn of it.
const PROMOTION_REST: Duration = Duration::from_secs(30);

/// How often each kind comes.
const WEIGHTS: [(Kind, u32); 33] = [
    (Kind::KilledSession, 12),
    (Kind::KilledWhileCut, 6),
    (Kind::KilledWhileStopped, 6),
    (Kind::KilledProcess, 12),
    (Kind::StoppedProcess, 14),
    (Kind::CutBoth, 6),
    (Kind::CutToServer, 5),
    (Kind::CutToClient, 5),
    (Kind::SlowNetwork, 4),
    (Kind::ResetConnections, 6),
    (Kind::ServerCrash, 3),
    (Kind::BackendCrash, 3),
    (Kind::ServerRestart, 3),
    (Kind::Promotion, 2),
    (Kind::SecondPromotion, 2),
    (Kind::DiscardedPromotion, 3),
    (Kind::StepDown, 6),
    (Kind::Transfer, 5),
    (Kind::Suspend, 3),
    (Kind::Exclude, 4),
    (Kind::Priority, 4),
    (Kind::Depose, 5),
    (Kind::Resign, 5),
    (Kind::FailedWork, 4),
    (Kind::BlockedRuntime, 4),
    (Kind::StoppedDriver, 8),
    (Kind::DriverPanic, 6),
    (Kind::FullStderr, 4),
    (Kind::ClosedStderr, 3),
    (Kind::KilledRelay, 5),
    (Kind::Leave, 4),
    (Kind::Shutdown, 5),
    (Kind::BusyProcessors, 4),
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

/// The faults of `seconds`, in the order of time.
pub fn plan(seed: u64, seconds: u64, lease: Duration) -> Vec<Planned> {
    let mut random = fastrand::Rng::with_seed(seed);
    let end = Duration::from_secs(seconds);
    let mut plan: Vec<Planned> = vec![];
    let mut at = Duration::from_millis(500);
    let (mut server_rests, mut promotion_rests) = (Duration::ZERO, Duration::from_secs(5));
    loop {
        // Often several at once, seldom two seconds apart.
        at += Duration::from_secs_f64((-1.1 * (1.0 - random.f64()).ln()).clamp(0.05, 4.0));
        let calm = CYCLE * (at.as_secs() / CYCLE.as_secs()) as u32 + CYCLE - CALM;
        if at >= calm {
            at = calm + CALM;
        }
        if at >= end {
            return plan;
        }
        let mut kind = weighted(&mut random);
        if kind.promotes() && at < promotion_rests {
            kind = Kind::KilledSession;
        }
        if kind.hits_server() && at < server_rests {
            kind = Kind::StepDown;
        }
        let mut lasting = random.fork();
        let lasts = lasts(&mut lasting, kind, lease);
        if kind.hits_server() {
            server_rests = at + SERVER_REST;
        }
        if kind.promotes() {
            promotion_rests = at + lasts + PROMOTION_REST;
            server_rests = at + lasts + SERVER_REST * 2;
        }
        let target = match random.u32(..10) {
            0..6 => Target::Leader,
            6..8 => Target::Successor,
            _ => Target::Place(random.usize(..super::crew::PLACES)),
        };
        plan.push(Planned {
            at,
            kind,
            election: random.usize(..super::ELECTIONS.len()),
            target,
            lasts,
        });
    }
}

fn weighted(random: &mut fastrand::Rng) -> Kind {
    let total: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut drawn = random.u32(..total);
    for (kind, weight) in WEIGHTS {
        match drawn.checked_sub(weight) {
            Some(rest) => drawn = rest,
            None => return kind,
        }
    }
    Kind::KilledSession
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
        Kind::SecondPromotion | Kind::DiscardedPromotion => between(2.0, 6.0),
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
            let election = super::ELECTIONS[self.election];
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
