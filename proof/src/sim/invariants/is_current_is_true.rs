//! Invariant 5: what `is_current()` says is true without waiting for any task to run. Where it says yes, no
//! later term has begun; where it has said no, it says no for good.

use std::collections::{BTreeMap, BTreeSet};

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Who};

#[derive(Default)]
pub(super) struct IsCurrentIsTrue {
    newest: BTreeMap<Key, u64>,
    over: BTreeSet<(Who, Key, u64)>,
}

impl Invariant for IsCurrentIsTrue {
    fn name(&self) -> &'static str {
        "5: is_current() says what is true"
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Began { key, term, .. } => {
                let newest = self.newest.entry(*key).or_default();
                *newest = (*newest).max(*term);
                Ok(())
            }
            // What began on a server that was thrown away is no later term here.
            Fact::Forgotten { terms } => {
                self.newest.extend(terms.iter().copied());
                Ok(())
            }
            Fact::AskedCurrent {
                who,
                key,
                term,
                current: true,
            } => {
                let newest = self.newest.get(key).copied().unwrap_or(0);
                if newest > *term {
                    return Err(format!(
                        "{who} was told that term {term} of election {} is current after term {newest} had begun",
                        key.0
                    ));
                }
                if self.over.contains(&(*who, *key, *term)) {
                    return Err(format!(
                        "{who} was told that term {term} of election {} is current after it was told that it is not",
                        key.0
                    ));
                }
                Ok(())
            }
            Fact::AskedCurrent { who, key, term, .. } => {
                self.over.insert((*who, *key, *term));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
