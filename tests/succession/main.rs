//! How one leader follows another: orderly, after each kind of end, by a lever, by priority.

#[path = "../support/mod.rs"]
mod support;

mod autopsy;
mod handover;
mod killed_process;
mod killed_session;
mod levers;
mod mixed_leases;
mod notifications;
mod priority;
mod takeover;
mod transfer;
mod unix_sockets;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    support::candidate::main();
}

#[test]
#[ignore = "a proxy's process, which the other tests start"]
fn relay_process() {
    support::relay::main();
}
