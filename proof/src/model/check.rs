//! Explore, and say what was found.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _};

use super::{Bounds, DriverFlaw, Model, Move, World};
use crate::machine::{Make, shipped};
use crate::postgres::Flaw;

/// What is checked: the shipped engine, or one of the mutants.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    make: Make,
    flaw: Option<Flaw>,
    driver_flaw: Option<DriverFlaw>,
}

impl Subject {
    /// What is shipped, as it is.
    #[must_use]
    pub fn shipped() -> Self {
        Subject {
            make: shipped,
            flaw: None,
            driver_flaw: None,
        }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn broken(make: Make) -> Self {
        Subject {
            make,
            ..Subject::shipped()
        }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn with_flaw(flaw: Flaw) -> Self {
        Subject {
            flaw: Some(flaw),
            ..Subject::shipped()
        }
    }

    /// The same, on a server that is broken too.
    #[cfg(feature = "mutants")]
    pub(crate) fn on(self, flaw: Flaw) -> Self {
        Subject {
            flaw: Some(flaw),
            ..self
        }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn with_driver_flaw(flaw: DriverFlaw) -> Self {
        Subject {
            driver_flaw: Some(flaw),
            ..Subject::shipped()
        }
    }

    pub(super) fn make(&self) -> Make {
        self.make
    }

    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    pub(super) fn driver_flaw(&self) -> Option<DriverFlaw> {
        self.driver_flaw
    }
}

/// What an exploration came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the bounds.
    pub name: &'static str,
    /// States that differ from each other.
    pub unique: usize,
    /// States reached, again and again too.
    pub total: usize,
    /// States passed on the way from one of these to a leader, once faults had stopped.
    pub followed: usize,
    /// The most steps from the start to a state that was new.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Whether every state within the bounds was seen.
    pub complete: bool,
    /// The longest that it took from any state, once faults had stopped, until some candidate led, in leases.
    pub slowest_recovery: f64,
    /// What is wrong, if anything is.
    pub counterexample: Option<Counterexample>,
}

/// The shortest way to something that must not be.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What does not hold.
    pub property: &'static str,
    /// What happens, a line each.
    pub trace: Vec<String>,
}

/// Explore every state within `bounds`, or until something is wrong or `limit` has passed.
#[must_use]
pub fn check(bounds: &Bounds, subject: Subject, limit: Option<Duration>) -> Report {
    let name = bounds.name;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4));
    let begun = Instant::now();
    let model = Model::new(bounds.clone(), &subject);
    let mut builder = model
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures);
    if let Some(limit) = limit {
        builder = builder.timeout(limit);
    }
    let checker = builder.spawn_bfs().join();
    let model = checker.model();
    let found = checker.discoveries().into_iter().next();
    let counterexample = found.map(|(property, path)| Counterexample {
        property,
        trace: trace(model, path.into_actions()),
    });
    Report {
        name,
        unique: checker.unique_state_count(),
        total: checker.state_count(),
        followed: model.known.states(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        complete: checker.is_done() && limit.is_none_or(|limit| begun.elapsed() < limit),
        slowest_recovery: model.slowest_recovery().as_secs_f64()
            / model.timings.lease.as_secs_f64(),
        counterexample,
    }
}

fn trace(model: &Model, moves: Vec<Move>) -> Vec<String> {
    let mut world: World = model.start();
    world.log = Some(vec![]);
    for step in moves {
        model.make(&mut world, step);
    }
    if world.violated().is_none() {
        world.note(|| "faults stop".to_owned());
        model.heal(&mut world);
        let until = world.now + model.patience();
        let goes_on = |world: &World| {
            let more = model.pending(world).is_some() || model.next_moment(world).is_some();
            more && world.violated().is_none() && world.now < until
        };
        while goes_on(&world) {
            model.make(&mut world, Move::Go);
        }
    }
    world.log.unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} states ({} reached, {} more followed to a leader), depth {}, {:.1} s, {}; a leader again within {:.2} L",
            self.name,
            self.unique,
            self.total,
            self.followed,
            self.depth,
            self.took.as_secs_f64(),
            if self.complete {
                "complete"
            } else {
                "cut short"
            },
            self.slowest_recovery,
        )?;
        if let Some(Counterexample { property, trace }) = &self.counterexample {
            write!(f, "\n  VIOLATED {property}")?;
            for line in trace {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
