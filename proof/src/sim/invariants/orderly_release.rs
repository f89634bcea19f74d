//! Invariant 4: an orderly release never precedes the end of the work, nor does a vacate.

use std::collections::BTreeMap;

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Who};

#[derive(Default)]
pub(super) struct OrderlyRelease(BTreeMap<(Who, Key), u64>);

impl Invariant for OrderlyRelease {
    fn name(&self) -> &'static str {
        "4: an orderly release never precedes the end of the work"
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::WorkStarted { who, key, term } => {
                self.0.insert((*who, *key), *term);
            }
            Fact::WorkStopped { who, key, .. } => {
                self.0.remove(&(*who, *key));
            }
            Fact::Died { who, .. } => self.0.retain(|(of, _), _| of != who),
            Fact::Released { who, key } => {
                if let Some(term) = self.0.get(&(*who, *key)) {
                    return Err(format!(
                        "{who} released election {} while its work of term {term} ran",
                        key.0
                    ));
                }
            }
            Fact::Vacated { who, key, term } if self.0.get(&(*who, *key)) == Some(term) => {
                return Err(format!(
                    "{who} vacated term {term} of election {} while its work ran",
                    key.0
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
