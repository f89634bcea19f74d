//! Invariant 8: nothing but being told to ends a candidacy, and once nothing is wrong every candidate takes
//! part again.

use std::collections::{BTreeMap, BTreeSet};

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Who};

#[derive(Default)]
pub(super) struct CandidacyGoesOn {
    candidates: BTreeSet<(Who, Key)>,
    told: BTreeSet<(Who, Key)>,
    /// Earlier candidacies that were told to end before the present one began: the process may say of each that it
    /// has left, or pass over it in silence.
    earlier: BTreeMap<(Who, Key), u32>,
}

impl Invariant for CandidacyGoesOn {
    fn name(&self) -> &'static str {
        "8: a candidacy goes on until it is told to end"
    }

    fn is_about_time(&self, fact: &Fact) -> bool {
        matches!(fact, Fact::Stands { .. })
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Entered { who, key } => {
                let is_first = self.candidates.insert((*who, *key));
                if self.told.remove(&(*who, *key)) && !is_first {
                    *self.earlier.entry((*who, *key)).or_default() += 1;
                }
            }
            Fact::WantedOut { who, key } => {
                self.told.insert((*who, *key));
            }
            Fact::Left { who, key } => {
                if let Some(earlier) = self.earlier.get_mut(&(*who, *key))
                    && *earlier > 0
                {
                    *earlier -= 1;
                    return Ok(());
                }
                self.candidates.remove(&(*who, *key));
                if !self.told.contains(&(*who, *key)) {
                    return Err(format!(
                        "{who} left election {} without being told to",
                        key.0
                    ));
                }
            }
            Fact::Died { who, .. } => {
                self.candidates.retain(|(of, _)| of != who);
                self.told.retain(|(of, _)| of != who);
                self.earlier.retain(|(of, _), _| of != who);
            }
            Fact::Stands {
                who,
                key,
                takes_part: true,
            } => {
                self.earlier.remove(&(*who, *key));
            }
            Fact::Stands {
                who,
                key,
                takes_part: false,
            } if self.candidates.contains(&(*who, *key)) && !self.told.contains(&(*who, *key)) => {
                return Err(format!("{who} takes no part in election {}", key.0));
            }
            _ => {}
        }
        Ok(())
    }
}
