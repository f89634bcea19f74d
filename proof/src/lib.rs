//! What pg-leader claims, proved on the code that ships: docs/proof.md says how and how far.

pub mod conformance;
pub mod model;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod sim;

/// The shipped engine, as it is.
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "it is not cut to what is used here"
)]
#[path = "../../src/engine/mod.rs"]
mod engine;

/// And what a session sends to PostgreSQL for it, for conformance.
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "it is not cut to what is used here"
)]
#[path = "../../src/statements/mod.rs"]
mod statements;

/// An engine, whichever it is.
mod machine;

mod tells;

/// The pretend server, for the checker and the simulator alike.
mod postgres;

/// What a command of this package gives, or why not, in words.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
