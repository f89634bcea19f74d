//! What others have put in the way: locks, poolers, settings, and elections that cannot be.

#[path = "../support/mod.rs"]
mod support;

mod neighbours;
mod pgpool;
mod poolers;
mod squatters;
mod strangers;
mod unkind_servers;
mod unknowing;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    support::candidate::main();
}
