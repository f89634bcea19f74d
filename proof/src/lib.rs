//! What pg-leader claims, proved on the code that ships: docs/proof.md says how and how far.

pub mod chaos;
pub mod judge;
pub mod pictures;

/// The shipped state machine, as it is.
#[allow(
    dead_code,
    unused_imports,
    reason = "it is not cut to what is used here"
)]
#[path = "../../src/protocol/mod.rs"]
mod protocol;

/// The pretend server, for the checker and the simulator alike.
#[allow(
    dead_code,
    unused_imports,
    reason = "each of its users needs a part of it"
)]
mod postgres;

pub mod model;

pub mod mutants;

pub mod sim;

/// What a command of this package gives, or why not, in words.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
