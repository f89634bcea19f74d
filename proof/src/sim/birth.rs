//! A world, drawn from its seed: how many of what, how long, how far, and what may go wrong.

use std::time::Duration;

use super::chance::Chance;
use super::clock::Clock;
use super::coverage::Coverage;
use super::crowd::Crowd;
use super::fault::Fault;
use super::flaw::Flaw;
use super::history::History;
use super::host::{Host, Path};
use super::invariants::Invariants;
use super::other_host::Second;
use super::phase::Round;
use super::primary::Server;
use super::queue::Queue;
use super::world::{Event, World};
use crate::engine::{Key, Timings};
use crate::machine::Make;

/// Any two clocks differ by so much at most: invariant 1 assumes 5 %.
const APART: u64 = 50_000;

impl World {
    /// The world of this seed, its processes started.
    pub(super) fn new(seed: u64, flaw: Option<Flaw>, make: Make) -> World {
        let mut chance = Chance::new(seed);
        let crowd = Crowd::of(seed);
        let elections = elections(crowd.as_ref(), &mut chance);
        let faults = faults(&mut chance);
        let equal = are_leases_equal(&faults, &mut chance);
        let lease = chance.any_scale(Duration::from_millis(100), Duration::from_secs(300));
        let lease = crowd.as_ref().map_or(lease, |crowd| crowd.lease);
        let rates = rates(&mut chance);
        let mut server = Server::new(clock(rates, &mut chance), flaw);
        if let Some(crowd) = &crowd {
            server.for_each_key = crowd.for_each_key;
        }
        let ranked = chance.one_in(3);
        let hosts = chance.whole(2, 6) + chance.below(2) * chance.below(7);
        let hosts = crowd.as_ref().map_or(hosts as usize, |crowd| crowd.hosts);
        let hosts = (0..hosts)
            .map(|_| {
                let clock = clock(rates, &mut chance);
                let lease = if equal {
                    lease
                } else {
                    lease * chance.whole(1, 4) as u32 / 2
                };
                let timings = timings(lease, crowd.is_some(), &mut chance);
                host(&mut chance, clock, timings, &elections, ranked, flaw)
            })
            .collect();
        let coverage = Coverage::of(&elections);
        let world = World {
            now: 0,
            queue: Queue::new(),
            hosts,
            server,
            second: Second::of(seed),
            connections: Default::default(),
            dialled: 0,
            elections,
            faults,
            ongoing: vec![],
            forbidden: Default::default(),
            struck: 0,
            round: Round::new(),
            calm: true,
            fences: chance.one_in(2) && crowd.is_none(),
            rates,
            latencies: (lease / 100, lease / 2),
            longest_latency: lease / 100,
            longest_transaction: lease / 100,
            wake_latency: (lease / 2000).min(Duration::from_micros(50)),
            flaw,
            make,
            history: History::new(),
            coverage,
            invariants: Invariants::new(),
            broken: None,
            late: None,
            chance,
        };
        world.begin()
    }

    fn begin(mut self) -> World {
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        self.queue.plan(0, Event::Round);
        if self.faults.contains(&Fault::FailoverWithLoss) {
            self.queue.plan(0, Event::Copies);
        }
        self
    }
}

fn elections(crowd: Option<&Crowd>, chance: &mut Chance) -> Vec<Key> {
    let few = match chance.below(10) {
        0 => chance.whole(10, 30),
        _ => chance.whole(1, 4),
    };
    let elections = crowd.map_or(few, |crowd| crowd.elections);
    (1..=elections as u32).map(Key).collect()
}

fn faults(chance: &mut Chance) -> Vec<Fault> {
    let faults = Fault::ALL.into_iter();
    let faults = faults.filter(|fault| *fault != Fault::AnotherHostLed && chance.percent(60));
    faults.collect()
}

/// Leases differ only where no failover can lose the candidates of the longest.
fn are_leases_equal(faults: &[Fault], chance: &mut Chance) -> bool {
    let loses = [
        Fault::FailoverWithLoss,
        Fault::PromotionDiscarded,
        Fault::PromotedAgain,
    ];
    loses.iter().any(|fault| faults.contains(fault)) || chance.one_in(2)
}

/// Those of the slowest and of the fastest clock, in millionths.
fn rates(chance: &mut Chance) -> (u64, u64) {
    let slowest = 1_000_000 - chance.below(APART);
    (slowest, slowest + slowest * APART / 1_000_000)
}

fn clock(rates: (u64, u64), chance: &mut Chance) -> Clock {
    let extreme = [rates.0, rates.1];
    let rate = match chance.pick(&extreme) {
        Some(&rate) if chance.one_in(2) => rate,
        _ => chance.whole(rates.0, rates.1),
    };
    Clock::new(rate, chance.whole(1, 1_000_000) * 1_000_000_000)
}

fn timings(lease: Duration, crowd: bool, chance: &mut Chance) -> Timings {
    let millis = |duration: Duration| Duration::from_millis(duration.as_millis() as u64);
    let lease = millis(lease).max(Duration::from_millis(100));
    // Short, where a world of hundreds of elections shall see many endings for its cost.
    let longest_retry = lease * if crowd { 2 } else { 6 };
    let retry_interval = chance.any_scale(lease / 2, longest_retry);
    let grace = chance.any_scale(lease / 10, lease * 10);
    Timings::new(lease, millis(retry_interval), millis(grace)).expect("coherent by their ranges")
}

fn ticks_by(timings: &Timings, flaw: Option<Flaw>) -> Timings {
    let seldom = flaw == Some(Flaw::RetriesSeldom);
    Timings {
        retry_interval: timings.retry_interval * if seldom { 10 } else { 1 },
        ..timings.clone()
    }
}

fn host(
    chance: &mut Chance,
    clock: Clock,
    timings: Timings,
    elections: &[Key],
    ranked: bool,
    flaw: Option<Flaw>,
) -> Host {
    let mut some = |percent: u64| -> Vec<Key> {
        let keys = elections.iter().copied();
        keys.filter(|_| chance.percent(percent)).collect()
    };
    let takes_part = some(85);
    let always_waits = some(20);
    let farthest = (timings.lease / 500).min(Duration::from_millis(5));
    Host {
        clock,
        ticks_by: ticks_by(&timings, flaw),
        timings,
        direct: chance.percent(75),
        aborts: chance.one_in(2),
        takes_part,
        always_waits,
        priority: if ranked { chance.below(3) as i32 } else { 0 },
        fails_fast: chance.one_in(4),
        distance: chance.any_scale(Duration::from_micros(20), farthest),
        path: Path::default(),
        power: true,
        runtime_blocked_until: 0,
        life: 0,
        candidacies: 0,
        running: None,
    }
}
