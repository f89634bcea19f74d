//! What pg-leader claims, proved on the code that ships: docs/proof.md says how and how far.

/// The shipped state machine, as it is.
#[allow(
    dead_code,
    unused_imports,
    reason = "it is not cut to what is used here"
)]
#[path = "../../src/protocol/mod.rs"]
mod protocol;
