//! The rules of the election: pure, without I/O, clock or async.

mod time;
mod timings;

pub(crate) use time::Instant;
pub(crate) use timings::{Incoherent, Timings};
