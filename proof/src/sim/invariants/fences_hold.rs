//! Invariant 3: no transaction fenced by a term commits after a later term has begun.

use std::collections::BTreeMap;

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::Fact;

#[derive(Default)]
pub(super) struct FencesHold(BTreeMap<Key, u64>);

impl Invariant for FencesHold {
    fn name(&self) -> &'static str {
        "3: fences hold"
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Began { key, term, .. } => {
                let newest = self.0.entry(*key).or_default();
                *newest = (*newest).max(*term);
                Ok(())
            }
            // What later terms wrote is lost with the server that knew them.
            Fact::Forgotten { terms } => {
                self.0.extend(terms.iter().copied());
                Ok(())
            }
            Fact::Committed { key, term } => match self.0.get(key) {
                Some(newest) if newest > term => Err(format!(
                    "in election {} a transaction fenced by term {term} committed after term {newest} had begun",
                    key.0
                )),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
