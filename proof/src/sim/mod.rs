//! The simulator: the shipped engine in many worlds, each drawn from a seed.
//!
//! A world has machines with clocks that run unequally, a process on each that takes part in several elections,
//! one pretended PostgreSQL, and a network between them. Things go wrong in storms, and one at a time.
//! Nothing in it reads a clock of this world or draws chance from elsewhere than the seed: a seed is a run.

mod acts;
mod birth;
mod bounds;
mod chance;
mod clock;
mod connection;
mod coverage;
mod crowd;
mod driver;
mod elections;
mod ending;
mod fact;
mod fault;
mod flaw;
mod flawed;
mod gaps;
mod history;
mod host;
mod invariants;
mod names;
mod network;
mod office;
mod operators;
mod other_host;
mod phase;
mod places;
mod primary;
mod queue;
mod round;
mod run;
mod second;
mod server;
mod sessions;
mod storm;
mod storms;
mod transactions;
mod work;
mod world;

pub use coverage::Coverage;
pub use crowd::Crowds;
pub use flaw::Flaw;
#[cfg(feature = "mutants")]
pub use run::run_mutant;
pub use run::{Limits, Outcome, Report, fresh_seed, run, search};
