//! The driver's sessions of tokio-postgres, what is asked of them, and what is said of them.

mod command;
pub(crate) mod door;
mod line;
pub(crate) mod open;
mod payload;
pub(crate) mod sentences;

pub(crate) use command::{Candidate, Command, First};
