//! Many elections, many candidates, many rows, and how little the steady state costs.

#[path = "../support/mod.rs"]
mod support;

mod dead_candidates;
mod full_queue;
mod many;
mod quiet;
mod status_of_many;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    many::candidate();
}
