//! How long nobody led, by how the term ended.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::clock::Time;
use super::coverage::share;
use super::fact::Fact;
use super::round::Ending;
use crate::engine::Key;

#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    /// As shares of the lease, and the worst as a share of what is allowed.
    measured: BTreeMap<Ending, (Vec<f64>, f64)>,
    struck: Option<Struck>,
}

#[derive(Clone, Debug)]
struct Struck {
    ending: Ending,
    key: Key,
    lease: Duration,
    at: Time,
    by: Time,
}

impl Gaps {
    pub(super) fn observe(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Struck {
                ending,
                key,
                lease,
                by,
            } => {
                self.struck = Some(Struck {
                    ending: *ending,
                    key: *key,
                    lease: *lease,
                    at,
                    by: *by,
                });
            }
            Fact::WorkStarted { key, .. } => {
                if let Some(struck) = self.struck.take_if(|struck| struck.key == *key) {
                    let gap = Duration::from_nanos(at - struck.at);
                    let allowed = Duration::from_nanos(struck.by - struck.at);
                    let (gaps, worst) = self.measured.entry(struck.ending).or_default();
                    gaps.push(share(gap, struck.lease));
                    *worst = worst.max(share(gap, allowed));
                }
            }
            Fact::Storm => self.struck = None,
            _ => {}
        }
    }

    pub(super) fn add(&mut self, other: &Gaps) {
        for (ending, (gaps, worst)) in &other.measured {
            let (into, most) = self.measured.entry(*ending).or_default();
            into.extend(gaps);
            *most = most.max(*worst);
        }
    }

    pub(super) fn missing(&self) -> Vec<String> {
        Ending::ALL
            .into_iter()
            .filter(|ending| !self.measured.contains_key(ending))
            .map(|ending| format!("ending: {ending}"))
            .collect()
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (ending, (gaps, worst)) in &self.measured {
            let mut gaps = gaps.clone();
            gaps.sort_by(f64::total_cmp);
            let at = |share: usize| gaps.get((gaps.len() - 1) * share / 100).copied();
            writeln!(
                f,
                "  {ending:<40} {:>12}   median {:.3}  99 % {:.3}  longest {:.3} ({:.0} % of what is allowed)",
                gaps.len(),
                at(50).unwrap_or_default(),
                at(99).unwrap_or_default(),
                at(100).unwrap_or_default(),
                worst * 100.0,
            )?;
        }
        Ok(())
    }
}
