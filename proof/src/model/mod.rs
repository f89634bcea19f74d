//! The model checker: the shipped state machine in every order of events, within bounds.
//!
//! A `World` holds two or three processes, each with the shipped `Engine` as it is, their connections and work, one
//! pretend server and the time. Things happen in one
//! order by themselves: what was sent arrives at once, whoever wants to be woken is woken on the dot. Every
//! other order is a fault, and every fault may come at every step, until the faults of the [`Bounds`] are
//! used up: a message held up for any time or for ever, a process stopped or killed, a session ended in
//! every way that the server counts or does not count, a statement stopped half-way, the server crashed,
//! restarted, or replaced by a standby that lacks the last term.
//!
//! Time jumps from one moment at which something happens to the next, by the clocks of each process, so that
//! the deadlines of the protocol keep their exact order. States that differ in the time of day alone are one
//! state, which makes the steady state a circle: there is no horizon, but where clocks run unequally.
//!
//! The work of a stopped process does not run. When it wakes, its driver's first act is to take an event to
//! the state machine, and so to look at the clock: what runs between is not covered (invariant 1 says so).

mod bounds;
mod check;
mod course;
mod driver;
mod moves;
mod recovery;
mod relative;
mod rival;
mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stateright::Property;

pub use self::bounds::{Bounds, Fault, Pace};
pub use self::check::{Counterexample, Report, Subject, check};

use self::bounds::Move;
use self::recovery::Known;
use self::relative::DAWN;
use self::world::{ELECTION, Memory, World};
use crate::engine::{Setup, Timings};
use crate::machine::Make;
use crate::postgres::{Flaw, Kind};

/// At most one process runs the work.
pub const ONE: &str = "invariant 1: at most one process runs the work";
/// Terms strictly increase.
pub const TWO: &str = "invariant 2: terms strictly increase";
/// An orderly release never precedes the end of the work.
pub const FOUR: &str = "invariant 4: no orderly release before the end of the work";
/// A process whose work has ended by itself as soon as it had begun lets the others come first.
pub const HOLD_OFF: &str = "work that has ended by itself at once is not begun again at once";
/// From every state, once faults stop, some candidate leads.
pub const LIVENESS: &str = "liveness: once faults stop, some candidate leads within the bound";

/// A rule of the driver that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverFlaw {
    /// The socket is closed with the session, although work runs.
    SocketClosedEarly,
}

/// What is explored.
#[derive(Debug)]
pub(crate) struct Model {
    bounds: Bounds,
    timings: Timings,
    make: Make,
    flaw: Option<Flaw>,
    driver_flaw: Option<DriverFlaw>,
    known: Known,
    /// Who a process is to the database, and why it has no session: told to nobody.
    instance: Arc<str>,
    down: Arc<str>,
}

impl Model {
    fn new(bounds: Bounds, subject: &Subject) -> Self {
        let lease = bounds.lease;
        let (heartbeat, retry) = match bounds.pace {
            Pace::Even => (lease / 20, lease / 20),
            Pace::Shipped => (lease / 8, lease / 4),
        };
        let timings = Timings::new(lease, retry, lease / 2);
        let timings = timings.unwrap_or_else(|refusal| panic!("{refusal}"));
        let timings = Timings {
            heartbeat_interval: heartbeat,
            ..timings
        };
        Model {
            bounds,
            timings,
            make: subject.make(),
            flaw: subject.flaw(),
            driver_flaw: subject.driver_flaw(),
            known: Known::default(),
            instance: "".into(),
            down: "the server is down".into(),
        }
    }

    fn setup(&self) -> Setup {
        Setup {
            timings: self.timings.clone(),
            aborts: self.bounds.stubborn,
            fails_fast: false,
        }
    }

    /// Clocks that run unequally may never come back to the same state.
    fn settles_within(&self) -> Duration {
        self.timings.lease * 4
    }

    fn start(&self) -> World {
        let rates = &self.bounds.rates;
        let machines = rates
            .iter()
            .map(|&rate| ((self.make)(self.setup(), 0), rate));
        let budget = (self.bounds.faults, self.bounds.orders);
        let timings = &self.timings;
        let memory = Memory {
            long: timings.query_limit() + timings.heartbeat_interval,
            short: timings.retry_interval * 2 + timings.heartbeat_interval,
            lease: timings.lease,
        };
        let mut world = World::new(machines, self.flaw, budget, memory);
        for index in 0..rates.len() {
            self.join(&mut world, index);
        }
        let mut seen = HashSet::new();
        let settled = world.now + self.settles_within();
        while !self.bounds.from_the_start && world.now < settled && seen.insert(world.fingerprint())
        {
            self.make(&mut world, Move::Go);
        }
        if self.bounds.vacated
            && let Some((leader, _)) = world.leader()
        {
            world.orders += 1;
            self.make(&mut world, Move::Return(leader));
            while world.server.holder(Kind::Leadership, ELECTION).is_some() {
                self.make(&mut world, Move::Go);
            }
        }
        world.dated = self.bounds.horizon.is_some();
        world
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        self.moves(world, moves);
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        let mut world = world.clone();
        self.make(&mut world, step);
        world.broken = world.violated();
        if world.broken.is_none() {
            match self.outlook(&world) {
                Ok(within) => {
                    let quiet = world.faults == 0 && world.orders == 0 && !world.is_held_up();
                    world.settled = quiet && within.is_zero() && world.leader().is_some();
                }
                Err(property) => world.broken = Some(property),
            }
        }
        Some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        let until = |horizon| DAWN + self.settles_within() + horizon;
        self.bounds
            .horizon
            .is_none_or(|horizon| world.now <= until(horizon))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |_, world: &World| world.broken != Some(ONE)),
            Property::always(TWO, |_, world: &World| world.broken != Some(TWO)),
            Property::always(FOUR, |_, world: &World| world.broken != Some(FOUR)),
            Property::always(HOLD_OFF, |_, world: &World| world.broken != Some(HOLD_OFF)),
            Property::always(LIVENESS, |_, world: &World| world.broken != Some(LIVENESS)),
        ]
    }
}
