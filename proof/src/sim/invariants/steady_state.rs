//! Invariant 7: in the steady state nothing is written, and what is asked of the database grows with neither
//! the number of elections nor, but for one try a retry interval, with the number of followers.

use std::time::Duration;

use super::invariant::Invariant;
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Steady};

pub(super) struct SteadyState;

/// How many queries may be asked in that time: nothing in it counts elections.
fn allowed(steady: &Steady) -> u64 {
    let times = |interval: &Duration| {
        // On the fastest clock; and one more at either edge.
        let most = steady.lasted.as_nanos() * 106 / 100 / interval.as_nanos().max(1);
        most as u64 + 2
    };
    let leaders: u64 = steady.leaders.iter().map(times).sum();
    let successors: u64 = steady.successors.iter().map(times).sum();
    // The shortest retry interval is three quarters of it. Each may try, read and prove itself.
    let others: u64 = steady
        .processes
        .iter()
        .map(|interval| times(&(*interval * 3 / 4)) * 3)
        .sum();
    leaders + successors + others
}

impl Invariant for SteadyState {
    fn name(&self) -> &'static str {
        "7: the steady state costs little"
    }

    /// Nothing is steady yet where a session cannot be kept.
    fn is_about_time(&self, _: &Fact) -> bool {
        true
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        let Fact::Steady(steady) = fact else {
            return Ok(());
        };
        if steady.written {
            return Err("something was written although nothing changed".to_owned());
        }
        let allowed = allowed(steady);
        if steady.queries > allowed {
            return Err(format!(
                "{} queries in {:?} with {} elections, {} leading and {} succeeding sessions: {allowed} are allowed",
                steady.queries,
                steady.lasted,
                steady.elections,
                steady.leaders.len(),
                steady.successors.len()
            ));
        }
        Ok(())
    }
}
