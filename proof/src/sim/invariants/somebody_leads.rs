//! Invariant 6: once nothing is wrong, somebody leads within the bounds of the design's table, and goes on to lead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::engine::{Key, Timings};
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Who};
use crate::sim::round::Ending;

/// What the bounds follow from, beside the leader's own timings: each the longest that there is.
pub(in crate::sim) struct Circumstances {
    pub(in crate::sim) lease: Duration,
    pub(in crate::sim) retry_interval: Duration,
    pub(in crate::sim) grace: Duration,
    pub(in crate::sim) latency: Duration,
}

/// How long an election is without a leader at most, by how its term ended. Each follows the table "the life
/// of a term", and has room for the latencies of the world: some twenty steps of them.
pub(in crate::sim) fn bound(
    ending: Ending,
    leader: &Timings,
    circumstances: &Circumstances,
) -> Duration {
    let lease = leader.lease;
    let probe = leader.probe_interval(lease);
    let steps = circumstances.latency * 20 + Duration::from_millis(40);
    let retry = circumstances.retry_interval * 5 / 4;
    match ending {
        Ending::Returned | Ending::Resigned | Ending::Failed | Ending::ShutDown => probe + steps,
        Ending::SteppedDown | Ending::Transferred => leader.heartbeat_interval + probe + steps,
        Ending::Killed => probe * 2 + steps,
        Ending::KilledUnseen => probe * 2 + lease + steps,
        Ending::SessionKilled => probe * 2 + lease + steps,
        Ending::ServerRestarted => lease + retry + lease / 50 + steps,
        Ending::NetworkCut | Ending::Stopped | Ending::MachineOff => {
            leader.silence_limit + probe * 2 + steps
        }
        Ending::BothKilled => retry + lease + probe * 4 + steps,
    }
}

/// After a storm anything may be left over: a session that its server still believes in, a refractory
/// period, work in its grace, a reconnection that waits for its turn.
pub(in crate::sim) fn bound_after_storm(circumstances: &Circumstances) -> Duration {
    let Circumstances {
        lease,
        retry_interval,
        grace,
        latency,
    } = circumstances;
    let connecting = Duration::from_secs(5);
    // A transfer to somebody who does not come is given up after ten leases.
    *lease * 14 + *retry_interval * 4 + *grace + connecting * 2 + *latency * 20
}

/// So many terms of an election may begin before all is as it stays: what the storm has left behind ends some, and who
/// ranks higher takes over.
const MOST_TERMS: u32 = 6;

#[derive(Default)]
pub(super) struct SomebodyLeads {
    works: BTreeMap<Key, Vec<Who>>,
    expected: Vec<Key>,
    /// All that must be led since everything was well again, and how many terms of each have begun since.
    well: BTreeMap<Key, u32>,
    by: Time,
    what: String,
}

impl SomebodyLeads {
    /// Of a while in which nothing was wrong: one that began to lead leads still, and it was not tried again and again.
    fn goes_on(&self) -> Result<(), String> {
        for (key, terms) in &self.well {
            if !self.is_led(key) {
                return Err(format!(
                    "nobody leads election {} any more, and nothing was wrong",
                    key.0
                ));
            }
            if *terms > MOST_TERMS {
                return Err(format!(
                    "{terms} terms of election {} began while nothing was wrong",
                    key.0
                ));
            }
        }
        Ok(())
    }

    fn is_led(&self, key: &Key) -> bool {
        self.works.get(key).is_some_and(|works| !works.is_empty())
    }

    fn check(&self, at: Time) -> Result<(), String> {
        if at < self.by {
            return Ok(());
        }
        match self.expected.first() {
            Some(key) => Err(format!(
                "nobody leads election {} in time after {}",
                key.0, self.what
            )),
            None => Ok(()),
        }
    }
}

impl Invariant for SomebodyLeads {
    fn name(&self) -> &'static str {
        "6: somebody leads"
    }

    fn observe(&mut self, at: Time, fact: &Fact) -> Result<(), String> {
        let checked = self.check(at);
        match fact {
            Fact::Calm { keys, by } => {
                self.expected = keys
                    .iter()
                    .copied()
                    .filter(|key| !self.is_led(key))
                    .collect();
                self.well = keys.iter().map(|key| (*key, 0)).collect();
                self.by = *by;
                self.what = "everything was well again".to_owned();
            }
            Fact::Struck {
                ending, key, by, ..
            } => {
                self.expected = vec![*key];
                self.by = *by;
                self.what = ending.to_string();
            }
            Fact::Steady(_) => return checked.and(self.goes_on()),
            Fact::Storm => self.expected.clear(),
            Fact::WorkStarted { who, key, .. } => {
                self.works.entry(*key).or_default().push(*who);
                self.expected.retain(|expected| expected != key);
                if let Some(terms) = self.well.get_mut(key) {
                    *terms += 1;
                }
            }
            Fact::WorkStopped { who, key, .. } => {
                if let Some(works) = self.works.get_mut(key) {
                    works.retain(|of| of != who);
                }
            }
            Fact::Died { who, .. } => {
                for works in self.works.values_mut() {
                    works.retain(|of| of != who);
                }
            }
            _ => {}
        }
        checked
    }
}
