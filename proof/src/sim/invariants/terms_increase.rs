//! Invariant 2: terms strictly increase, across restarts and failovers of the database too; where the server has
//! forgotten terms, above what anybody was told of who lives and takes part. No number is ever given out twice.

use std::collections::{BTreeMap, BTreeSet};

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::Fact;

#[derive(Default)]
pub(super) struct TermsIncrease {
    newest: BTreeMap<Key, u64>,
    begun: BTreeSet<(Key, u64)>,
}

impl Invariant for TermsIncrease {
    fn name(&self) -> &'static str {
        "2: terms strictly increase"
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        let (key, term, known) = match fact {
            Fact::Began {
                key, term, known, ..
            } => (key, term, known),
            Fact::Forgotten { terms } => {
                self.newest.extend(terms.iter().copied());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let last = self.newest.insert(*key, *term).unwrap_or(0).max(*known);
        if *term <= last {
            return Err(format!(
                "in election {} term {term} began after term {last}",
                key.0
            ));
        }
        if self.begun.insert((*key, *term)) {
            return Ok(());
        }
        Err(format!(
            "in election {} the number of term {term} was given out twice",
            key.0
        ))
    }
}
