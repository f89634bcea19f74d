//! Servers that crash, fail over, are restored or cannot be reached, and several hosts in one connection string.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod crash;
mod dropped_packets;
mod failover;
mod hosts;
mod hosts_looks;
mod network;
mod promotions;
mod restore;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    support::candidate::main();
}
