//! How long nobody led, by how the term ended.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::clock::Time;
use super::ending::Ending;
use super::fact::Fact;
use crate::engine::Key;

#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    measured: BTreeMap<Ending, Measured>,
    struck: Option<Struck>,
}

#[derive(Clone, Debug, Default)]
struct Measured {
    /// Of the election that was struck, as shares of the lease.
    gaps: Vec<f64>,
    /// Of all elections whose terms ended with that one: how many, and the longest as a share of the lease.
    all: u64,
    longest: f64,
    /// The worst as a share of what is allowed.
    worst: f64,
}

#[derive(Clone, Debug)]
struct Struck {
    ending: Ending,
    key: Key,
    lease: Duration,
    at: Time,
    led_by: BTreeMap<Key, Time>,
}

impl Gaps {
    pub(super) fn observe(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Struck {
                ending,
                key,
                lease,
                led_by,
            } => {
                self.struck = Some(Struck {
                    ending: *ending,
                    key: *key,
                    lease: *lease,
                    at,
                    led_by: led_by.iter().copied().collect(),
                });
            }
            Fact::WorkStarted { key, .. } => {
                if let Some(struck) = &mut self.struck
                    && let Some(by) = struck.led_by.remove(key)
                {
                    let gap = Duration::from_nanos(at - struck.at);
                    let allowed = Duration::from_nanos(by - struck.at);
                    let measured = self.measured.entry(struck.ending).or_default();
                    let leases = share(gap, struck.lease);
                    if struck.key == *key {
                        measured.gaps.push(leases);
                    }
                    measured.all += 1;
                    measured.longest = measured.longest.max(leases);
                    measured.worst = measured.worst.max(share(gap, allowed));
                }
            }
            Fact::Storm { .. } => self.struck = None,
            _ => {}
        }
    }

    pub(super) fn add(&mut self, other: &Gaps) {
        for (ending, other) in &other.measured {
            let into = self.measured.entry(*ending).or_default();
            into.gaps.extend(&other.gaps);
            into.all += other.all;
            into.longest = into.longest.max(other.longest);
            into.worst = into.worst.max(other.worst);
        }
    }

    pub(super) fn missing(&self) -> Vec<String> {
        Ending::ALL
            .into_iter()
            .filter(|ending| {
                let measured = self.measured.get(ending);
                measured.is_none_or(|measured| measured.gaps.is_empty())
            })
            .map(|ending| format!("ending: {ending}"))
            .collect()
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ending, measured) in &self.measured {
            let mut gaps = measured.gaps.clone();
            gaps.sort_by(f64::total_cmp);
            let at = |share: usize| {
                gaps.get(gaps.len().saturating_sub(1) * share / 100)
                    .copied()
            };
            writeln!(
                f,
                "  {ending:<40} {:>12}   median {:.3}  99 % {:.3}  longest {:.3}; of all {} it ended {:.3} ({:.0} % of what is allowed)",
                gaps.len(),
                at(50).unwrap_or_default(),
                at(99).unwrap_or_default(),
                at(100).unwrap_or_default(),
                measured.all,
                measured.longest,
                measured.worst * 100.0,
            )?;
        }
        Ok(())
    }
}

/// A duration as a share of another.
pub(super) fn share(of: Duration, whole: Duration) -> f64 {
    of.as_secs_f64() / whole.as_secs_f64()
}
