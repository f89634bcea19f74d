//! `pg-leader run`, the built binary, with real children: whatever becomes of them, of it, or of its guard,
//! nobody else leads before they are dead.

#[path = "../support/mod.rs"]
mod support;

mod children;
mod exits;
mod frozen;
mod guards;
mod handover;
mod losses;
mod namespaces;
mod races;
mod readiness;
mod runner;
mod soak;
mod stderr;
mod strangers;

use std::path::Path;
use std::time::Duration;

use support::record::Record;

#[test]
#[ignore = "what a command does, which the other tests start"]
fn worker_process() {
    let variable = |name: &str| std::env::var(name);
    let (Ok(address), Ok(term), Ok(record)) = (
        variable("PG_LEADER_ADDRESS"),
        variable("PG_LEADER_TERM"),
        variable("RECORD"),
    ) else {
        return;
    };
    let term = term.parse().expect("a number");
    let record = Record::append_to(Path::new(&record)).expect("the record can be opened");
    loop {
        record.step(&address, term);
        std::thread::sleep(Duration::from_millis(1));
    }
}
