//! The pretend server of the checker and the simulator answers as PostgreSQL does, and a flaw in it would be found.
//!
//! Needs the binaries of PostgreSQL. Fresh seeds: `cargo conformance`.

use pg_leader_proof::conformance::{Coverage, PLANTED, Server, Trace, found, run};

/// So many fixed seeds, from 1 on.
const FIXED: u64 = 32;

fn traces() -> Vec<Trace> {
    let mut server = Server::start().expect("a server");
    let mut coverage = Coverage::default();
    let mut traces = vec![];
    for seed in 1..=FIXED {
        let run = run(&mut server, seed).expect("the server can be worked with");
        if let Some(difference) = run.difference {
            panic!("{}\n{difference}", server.log());
        }
        coverage.merge(&run.coverage);
        traces.push(run.trace);
    }
    println!("{coverage}");
    let missing = coverage.missing();
    assert!(missing.is_empty(), "never met: {missing:#?}");
    traces
}

#[test]
fn both_answer_alike_and_each_planted_flaw_is_found() {
    let traces = traces();
    let mut missed = vec![];
    for (name, planted) in PLANTED {
        let mut differences = traces.iter().filter_map(|trace| found(trace, planted));
        match differences.next() {
            Some(difference) => println!("{name}: {}", difference.place()),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
