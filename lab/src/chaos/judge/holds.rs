//! Fenced transactions that the next term has to wait for.

use std::collections::BTreeMap;

use super::history::{Entry, History};
use super::life::Lives;

/// A fenced transaction that is open for longer has to be waited for.
pub(super) const LONG: u64 = 50_000_000;

/// A fenced transaction that was open for long. Once a later term has begun it is over in any case.
pub(super) struct Hold {
    pub(super) term: i64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// From when a fenced transaction has begun until its client goes on, which it does at once when that has ended.
pub(super) fn holds<'a>(history: &'a History, lives: &Lives) -> BTreeMap<&'a str, Vec<Hold>> {
    let mut holds: BTreeMap<&str, Vec<Hold>> = BTreeMap::new();
    for process in &history.processes {
        let mut open: BTreeMap<(&str, i64), u64> = BTreeMap::new();
        let mut ended = |(election, term): (&'a str, i64), from: u64, to: u64| {
            if to > from + LONG {
                let hold = Hold { term, from, to };
                holds.entry(election).or_default().push(hold);
            }
        };
        for entry in &process.entries {
            match entry {
                Entry::Fences { at, election, term } => {
                    if let Some(from) = open.insert((election, *term), *at) {
                        ended((election, *term), from, *at);
                    }
                }
                Entry::Wrote {
                    at, election, term, ..
                }
                | Entry::Refused { at, election, term } => {
                    if let Some(from) = open.remove(&(election.as_str(), *term)) {
                        ended((election, *term), from, *at);
                    }
                }
                _ => {}
            }
        }
        for (of, from) in open {
            ended(of, from, lives.ends(&process.name));
        }
    }
    holds
}
