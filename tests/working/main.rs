//! What becomes of the work when its term ends: it stops in time, with its children, or the process ends.

#[path = "../support/mod.rs"]
mod support;

mod leash;
mod overrun;
mod spawned;
mod told_too_late;
mod work;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    support::candidate::main();
}
