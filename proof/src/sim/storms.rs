//! How much is led while things go wrong without pause, and how many terms begin.
//!
//! No single gap of a storm has a bound: the next fault comes before the last one is dealt with. Of many storms together it is
//! known how much is led in them, and how often a term begins; far less than that is a fault that only storms show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::clock::Time;
use super::fact::{Fact, Who};
use super::gaps::share;
use crate::engine::Key;

/// Of fewer storms nothing is judged.
const FEWEST: u64 = 100;
/// Of the time of all elections in all storms so much is led at least.
const LEAST_LED: f64 = 0.5;
/// So many terms begin in an election within a hundred leases at least.
const FEWEST_TERMS: f64 = 10.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Storms {
    storms: u64,
    /// In leases. A world counts as much whether it has few elections or many.
    lasted: f64,
    led: f64,
    terms: f64,
    least: Option<f64>,
    under_way: UnderWay,
}

/// Of the run under way.
#[derive(Clone, Debug, Default)]
struct UnderWay {
    elections: u32,
    works: BTreeMap<Key, BTreeSet<Who>>,
    halted: BTreeSet<Who>,
    storm: Option<Storm>,
}

#[derive(Clone, Debug)]
struct Storm {
    lease: Duration,
    since: Time,
    /// When it was last added up what is led.
    at: Time,
    led: Duration,
    terms: u32,
}

impl UnderWay {
    fn led(&self) -> u32 {
        let works = |of: &&BTreeSet<Who>| of.iter().any(|who| !self.halted.contains(who));
        self.works.values().filter(works).count() as u32
    }
}

impl Storms {
    pub(super) fn observe(&mut self, at: Time, fact: &Fact) {
        let now = &mut self.under_way;
        let changes = matches!(
            fact,
            Fact::WorkStarted { .. }
                | Fact::WorkStopped { .. }
                | Fact::Died { .. }
                | Fact::Halted { .. }
                | Fact::Looked { .. }
                | Fact::Storm { .. }
                | Fact::Calm { .. }
        );
        if !changes {
            return;
        }
        let led = now.led();
        if let Some(storm) = &mut now.storm {
            storm.led += Duration::from_nanos(at - storm.at) * led;
            storm.at = at;
        }
        match fact {
            Fact::WorkStarted { who, key, .. } => {
                now.works.entry(*key).or_default().insert(*who);
                if let Some(storm) = &mut now.storm {
                    storm.terms += 1;
                }
            }
            Fact::WorkStopped { who, key, .. } => {
                if let Some(works) = now.works.get_mut(key) {
                    works.remove(who);
                }
            }
            Fact::Died { who, .. } => {
                now.halted.remove(who);
                for works in now.works.values_mut() {
                    works.remove(who);
                }
            }
            Fact::Halted { who } => {
                now.halted.insert(*who);
            }
            Fact::Looked { who } => {
                now.halted.remove(who);
            }
            Fact::Storm { lease } => {
                now.storm = Some(Storm {
                    lease: *lease,
                    since: at,
                    at,
                    led: Duration::ZERO,
                    terms: 0,
                });
            }
            Fact::Calm { keys, .. } => {
                if let Some(storm) = now.storm.take() {
                    let elections = f64::from(now.elections.max(1));
                    let lasted = share(Duration::from_nanos(at - storm.since), storm.lease);
                    let led = share(storm.led, storm.lease) / elections;
                    self.storms += 1;
                    self.lasted += lasted;
                    self.led += led;
                    self.terms += f64::from(storm.terms) / elections;
                    let led = led / lasted;
                    self.least = Some(self.least.map_or(led, |least| least.min(led)));
                }
                now.elections = keys.len() as u32;
            }
            _ => {}
        }
    }

    pub(super) fn add(&mut self, other: &Storms) {
        self.storms += other.storms;
        self.lasted += other.lasted;
        self.led += other.led;
        self.terms += other.terms;
        self.least = match (self.least, other.least) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    fn share_led(&self) -> f64 {
        self.led / self.lasted.max(1.0)
    }

    fn terms_of_hundred(&self) -> f64 {
        self.terms * 100.0 / self.lasted.max(1.0)
    }

    /// What is too little; `None` where it is enough, or where nothing can be said.
    pub(super) fn too_quiet(&self) -> Option<String> {
        let quiet = self.share_led() < LEAST_LED || self.terms_of_hundred() < FEWEST_TERMS;
        (self.storms >= FEWEST && quiet)
            .then(|| format!("{self}; at least {LEAST_LED} and {FEWEST_TERMS} terms were expected"))
    }
}

impl fmt::Display for Storms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} storms: led for {:.3} of their time (the least of one: {:.3}), {:.1} terms of an election in 100 leases",
            self.storms,
            self.share_led(),
            self.least.unwrap_or_default(),
            self.terms_of_hundred()
        )?;
        if self.storms < FEWEST {
            write!(f, "; not judged, for {FEWEST} are needed")?;
        }
        Ok(())
    }
}
