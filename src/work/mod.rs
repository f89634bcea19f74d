//! The work of a term: it is run, watched, and seen to have stopped.

pub(crate) mod children;
pub(crate) mod guard;
pub(crate) mod lead;
pub(crate) mod shared_leash;
pub(crate) mod task;
pub(crate) mod term_state;
pub(crate) mod watch;

pub(crate) use guard::{Guard, Tell};
pub(crate) use lead::Lead;
