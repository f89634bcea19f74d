//! One run is one seed; a search is many of them, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock::nanos;
use super::coverage::Coverage;
use super::crowd::Crowds;
use super::flaw::Flaw;
use super::world::World;
use crate::machine::{Make, shipped};

/// How long a run is, in leases of its world.
const LEASES: u32 = 300;
/// The same, with hundreds of elections.
const LEASES_OF_CROWDS: u32 = 50;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed. It means the same run always.
    pub seed: u64,
    /// How much time passed in its world.
    pub simulated: Duration,
    /// Of everything that happened: the same for the same seed.
    pub digest: u64,
    /// What happened last, a line each: time, process, election, what.
    pub timeline: String,
    /// Which invariant does not hold, and why.
    pub broken: Option<(&'static str, String)>,
    /// What it has met.
    pub coverage: Coverage,
    /// Whether it is one of hundreds of elections, and what became of that.
    pub crowds: Crowds,
}

/// Run the world of a seed.
pub fn run(seed: u64, flaw: Option<Flaw>) -> Outcome {
    run_to_the_end(seed, flaw, shipped)
}

/// The same, with engines that are broken in the way that has this name in `proof/mutants.rs`.
#[cfg(feature = "mutants")]
pub fn run_mutant(seed: u64, name: &'static str) -> Outcome {
    run_to_the_end(seed, None, crate::mutants::breaking(name))
}

fn run_to_the_end(seed: u64, flaw: Option<Flaw>, make: Make) -> Outcome {
    let mut world = World::new(seed, flaw, make);
    let lease = world.longest_lease();
    let until = nanos(if world.is_crowd() {
        // The bounds have seconds in them, too.
        lease * LEASES_OF_CROWDS + Duration::from_secs(20)
    } else {
        lease * LEASES
    });
    world.run(until);
    let broken = world.broken.take();
    let crowds = Crowds::of(&world, seed);
    Outcome {
        seed,
        simulated: Duration::from_nanos(world.now),
        digest: world.history.digest(),
        timeline: world.history.timeline(),
        broken: broken.map(|broken| (broken.invariant, broken.why)),
        coverage: world.coverage,
        crowds,
    }
}

/// A seed that nobody has chosen.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) >> 16
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Report {
    /// How many worlds were run.
    pub runs: u64,
    /// How much time passed in them.
    pub simulated: Duration,
    /// What they have met.
    pub coverage: Coverage,
    /// What became of those of hundreds of elections.
    pub crowds: Crowds,
    /// The run with the smallest seed of those seen in which an invariant does not hold.
    pub broken: Option<Outcome>,
}

/// When a search ends.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many seeds at most.
    pub runs: u64,
    /// After so much time of this world at most.
    pub lasts: Duration,
    /// After so much simulated time at most.
    pub simulated: Duration,
}

/// Run the worlds of the seeds from `first` on, until a limit is reached or an invariant is broken.
pub fn search(first: u64, limits: Limits, threads: usize) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let report = Mutex::new(Report::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) && begun.elapsed() < limits.lasts {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= limits.runs {
                break;
            }
            let outcome = run(first.wrapping_add(index), None);
            let mut report = report.lock().expect("no thread panics while it holds it");
            report.runs += 1;
            report.simulated += outcome.simulated;
            report.coverage.add(&outcome.coverage);
            report.crowds.add(&outcome.crowds);
            if report.simulated >= limits.simulated {
                stop.store(true, Ordering::Relaxed);
            }
            if outcome.broken.is_some() {
                stop.store(true, Ordering::Relaxed);
                let smaller = report.broken.as_ref();
                if smaller.is_none_or(|other| outcome.seed < other.seed) {
                    report.broken = Some(outcome);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    report
        .into_inner()
        .expect("no thread panics while it holds it")
}
