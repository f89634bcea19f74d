//! Invariant 2: terms strictly increase, across restarts and failovers of the database too.

use std::collections::BTreeMap;

use super::Invariant;
use crate::protocol::Key;
use crate::sim::clock::Time;
use crate::sim::fact::Fact;

#[derive(Default)]
pub(super) struct TermsIncrease(BTreeMap<Key, u64>);

impl Invariant for TermsIncrease {
    fn name(&self) -> &'static str {
        "2: terms strictly increase"
    }

    fn observe(&mut self, _: Time, fact: &Fact) -> Result<(), String> {
        let Fact::Began { key, term, .. } = fact else {
            return Ok(());
        };
        let last = self.0.insert(*key, *term).unwrap_or(0);
        if *term > last {
            return Ok(());
        }
        Err(format!(
            "in election {} term {term} began after term {last}",
            key.0
        ))
    }
}
