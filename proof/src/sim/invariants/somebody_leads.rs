//! Invariant 6: once nothing is wrong, somebody leads within the bounds of the design's table, and goes on to lead.

use std::collections::BTreeMap;

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::{NEVER, Time};
use crate::sim::fact::{Fact, Who};

/// So many terms of an election may begin before all is as it stays: what the storm has left behind ends some, and who
/// ranks higher takes over.
const MOST_TERMS: u32 = 6;
/// The same after one thing that ended a term, while nothing else was wrong: who takes over stays.
const MOST_TERMS_AFTER_ENDING: u32 = 1;

#[derive(Default)]
pub(super) struct SomebodyLeads {
    works: BTreeMap<Key, Vec<Who>>,
    /// What must be led, and by when.
    expected: BTreeMap<Key, Time>,
    /// When the first of them must be.
    soonest: Time,
    /// All that must be led since everything was well again, and how many terms of each have begun since.
    well: BTreeMap<Key, u32>,
    most_terms: u32,
    /// One thing has ended a term since.
    struck: bool,
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
            if *terms > self.most_terms {
                return Err(format!(
                    "{terms} terms of election {} began after {}, and nothing else was wrong",
                    key.0, self.what
                ));
            }
        }
        Ok(())
    }

    fn is_led(&self, key: &Key) -> bool {
        self.works.get(key).is_some_and(|works| !works.is_empty())
    }

    fn check(&self, at: Time) -> Result<(), String> {
        if at < self.soonest {
            return Ok(());
        }
        match self.expected.iter().find(|(_, by)| at >= **by) {
            Some((key, _)) => Err(format!(
                "nobody leads election {} in time after {}",
                key.0, self.what
            )),
            None => Ok(()),
        }
    }

    fn expect(&mut self, led_by: impl Iterator<Item = (Key, Time)>) {
        self.expected = led_by.collect();
        self.soonest = self.expected.values().copied().min().unwrap_or(NEVER);
    }
}

impl Invariant for SomebodyLeads {
    fn name(&self) -> &'static str {
        "6: somebody leads"
    }

    fn is_about_time(&self, _: &Fact) -> bool {
        true
    }

    fn observe(&mut self, at: Time, fact: &Fact) -> Result<(), String> {
        let checked = self.check(at);
        match fact {
            Fact::Calm { keys, by } => {
                let keys = keys.iter().copied();
                if !std::mem::take(&mut self.struck) {
                    self.well = keys.map(|key| (key, 0)).collect();
                    self.most_terms = MOST_TERMS;
                    self.what = "everything was well again".to_owned();
                }
                let idle = self.well.keys().filter(|key| !self.is_led(key));
                let idle: Vec<Key> = idle.copied().collect();
                self.expect(idle.into_iter().map(|key| (key, *by)));
            }
            Fact::Struck {
                ending,
                key,
                led_by,
                ..
            } => {
                self.struck = true;
                self.well.values_mut().for_each(|terms| *terms = 0);
                self.most_terms = MOST_TERMS_AFTER_ENDING;
                self.expect(led_by.iter().copied());
                self.what = format!("{ending} in election {}", key.0);
            }
            Fact::Steady(_) => return checked.and(self.goes_on()),
            Fact::Storm { .. } => {
                self.struck = false;
                self.expect([].into_iter());
            }
            Fact::WorkStarted { who, key, .. } => {
                self.works.entry(*key).or_default().push(*who);
                self.expected.remove(key);
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
