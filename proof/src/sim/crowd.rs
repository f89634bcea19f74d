//! Worlds with hundreds of elections, which one process may lead, or take over, all at once.
//!
//! Few worlds are so. What makes them so is drawn from a chance of its own: the others are what they are without them.
//! A session does one statement after the other, and many of them take longer for each election. The *toll* is how long a
//! takeover of all elections keeps one session busy. Where half a lease pays it, liveness is judged, with the toll added to
//! each bound. Where it does not, the statements of a takeover may outlive the session that sends them, and nothing
//! promises a leader: what comes too late there is counted and printed. All other invariants hold there too.

use std::fmt;
use std::time::Duration;

use super::chance::Chance;
use super::primary::FOR_EACH_KEY;
use super::world::World;

/// One world in so many.
const WORLDS: u64 = 192;
/// So many elections, at least and at most.
const ELECTIONS: (u64, u64) = (300, 600);
/// A takeover needs so many statements for each election: to look at the backend and at the counters, to take
/// office, to be ready, and a notification after each.
const STATEMENTS: u32 = 8;
/// What a statement takes beside, in the mean.
const STATEMENT: Duration = Duration::from_micros(150);

/// What a seed has drawn.
pub(super) struct Crowd {
    pub(super) elections: u64,
    pub(super) hosts: usize,
    pub(super) lease: Duration,
    pub(super) for_each_key: Duration,
}

impl Crowd {
    pub(super) fn of(seed: u64) -> Option<Crowd> {
        let mut chance = Chance::new(seed.rotate_left(32) ^ !0);
        chance.one_in(WORLDS).then(|| Crowd {
            elections: chance
                .whole(ELECTIONS.0, ELECTIONS.1)
                .min(chance.whole(ELECTIONS.0, ELECTIONS.1)),
            hosts: chance.whole(2, 3) as usize,
            lease: chance.any_scale(Duration::from_millis(500), Duration::from_secs(30)),
            for_each_key: chance.any_scale(FOR_EACH_KEY, FOR_EACH_KEY * 20),
        })
    }
}

impl World {
    pub(super) fn is_crowd(&self) -> bool {
        self.elections.len() as u64 >= ELECTIONS.0
    }

    /// How long one session is busy with a takeover of all elections. Nothing where they are few: their bounds
    /// have room for it.
    pub(super) fn toll(&self) -> Duration {
        let elections = u32::try_from(self.elections.len()).unwrap_or(u32::MAX);
        if self.is_crowd() {
            (self.server.for_each_key + STATEMENT) * STATEMENTS * elections
        } else {
            Duration::ZERO
        }
    }

    /// Nothing promises that so many elections are led with such a lease.
    pub(super) fn is_overcrowded(&self) -> bool {
        let leases = self.hosts.iter().map(|host| host.timings.lease);
        self.toll() > leases.min().unwrap_or_default() / 2
    }
}

/// What became of worlds with so many elections.
#[derive(Clone, Debug, Default)]
pub struct Crowds {
    /// Those whose lease bears so many: they were led in time, or an invariant is broken.
    pub borne: u64,
    /// The others.
    pub overcrowded: u64,
    /// Those of the others in which something came too late, a line each.
    pub late: Vec<String>,
}

impl Crowds {
    pub(super) fn of(world: &World, seed: u64) -> Crowds {
        let mut crowds = Crowds::default();
        if !world.is_crowd() {
            return crowds;
        }
        if !world.is_overcrowded() {
            crowds.borne = 1;
            return crowds;
        }
        crowds.overcrowded = 1;
        crowds.late.extend(world.late.as_ref().map(|why| {
            let lease = world.longest_lease();
            let (elections, each) = (world.elections.len(), world.server.for_each_key);
            format!("seed {seed}: {elections} elections, {each:?} each, lease {lease:?}: {why}")
        }));
        crowds
    }

    pub(super) fn add(&mut self, other: &Crowds) {
        self.borne += other.borne;
        self.overcrowded += other.overcrowded;
        self.late.extend(other.late.iter().cloned());
    }
}

impl fmt::Display for Crowds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = ELECTIONS;
        writeln!(
            f,
            "worlds of {least} to {most} elections: {} whose lease bears them, led in time; of {} whose lease does not, not led in time: {} (known: docs/proof.md)",
            self.borne,
            self.overcrowded,
            self.late.len()
        )?;
        for late in &self.late {
            writeln!(f, "  {late}")?;
        }
        Ok(())
    }
}
