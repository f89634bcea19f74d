//! Whether the pretend server of the checker and the simulator answers as PostgreSQL does: `cargo conformance`.
//!
//! A run is drawn from a seed: two to four processes, one to three elections, and a hundred steps or so. A step is a
//! request of the engine on one of their sessions, the beginning or the end of a session, or something that befalls the
//! server. Both sides do it, each with ids, backends and terms of its own, and what comes of it must be the same: the
//! answer, which sessions live, who is notified. What may differ all the same is listed in `differs`, with its reason.
//!
//! On the real side the requests go through the shipped statements, included by their source.

mod coverage;
mod differs;
mod draw;
mod names;
mod planted;
mod pretend;
mod real;
mod run;
mod side;
mod step;

pub use self::coverage::Coverage;
pub use self::differs::MAY_DIFFER;
pub use self::planted::PLANTED;
pub use self::run::{Difference, Run, Server, Trace, found, run};
