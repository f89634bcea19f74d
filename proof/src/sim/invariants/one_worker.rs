//! Invariant 1: at most one process runs an election's work at any instant.
//!
//! Work does not run while its process stands still. It is not counted either from when the process wakes
//! until it has looked at its clock, nor, once its process has reported that it outlives its lease, while it blocks
//! its thread or for the moment that it takes to drop it: the invariant leaves these to the fence. Nor is work of a term that its server took along when it was thrown away,
//! where nobody who takes part on the next one was told of that term when a term begins there: nobody can know.
//!
//! Of work on another host that accepts writes a process knows what it has seen: it begins nothing that it has seen
//! led there, and once it has seen one on a newer timeline, its own work is over within a lease.

use std::collections::{BTreeMap, BTreeSet};

use super::invariant::Invariant;
use crate::engine::Key;
use crate::sim::clock::Time;
use crate::sim::fact::{Fact, Who};

#[derive(Default)]
pub(super) struct OneWorker {
    /// By election, term and process.
    works: BTreeMap<(Key, u64, Who), Excuse>,
    /// Processes that stand still, or have not looked at their clock since.
    absent: Vec<Who>,
    begun: BTreeSet<(Key, u64)>,
    /// Terms that the primary of the moment does not know.
    forgotten: BTreeSet<(Key, u64)>,
    /// Those of them that nobody knew of who could have waited.
    unheard: BTreeSet<(Key, u64)>,
    /// What processes have seen to be led on another host, and when all of theirs must be over.
    seen: BTreeMap<Who, (Vec<Key>, Option<Time>)>,
}

/// Why work that goes on is not counted.
#[derive(Default)]
struct Excuse {
    /// It was reported to outlive its lease, and is dropped by then.
    overran: Option<Time>,
    /// It is to stop, and cannot before.
    blocks_until: Time,
}

impl Excuse {
    fn holds(&self, at: Time) -> bool {
        self.overran
            .is_some_and(|by| at <= by.max(self.blocks_until))
    }
}

impl OneWorker {
    fn check(&self, at: Time, changed: impl Fn(&Key) -> bool) -> Result<(), String> {
        let mut counted = self
            .works
            .iter()
            .filter(|((key, term, who), excuse)| {
                let unheard = self.unheard.contains(&(*key, *term));
                changed(key) && !excuse.holds(at) && !unheard && !self.absent.contains(who)
            })
            .map(|(work, _)| work)
            .peekable();
        while let Some((key, term, who)) = counted.next() {
            if let Some((next, other_term, other)) = counted.peek()
                && next == key
            {
                return Err(format!(
                    "{who} (term {term}) and {other} (term {other_term}) both work in election {}",
                    key.0
                ));
            }
        }
        Ok(())
    }

    fn check_seen(&self, at: Time) -> Result<(), String> {
        for (who, (_, by)) in &self.seen {
            let works =
                |((.., of), excuse): (&(Key, u64, Who), &Excuse)| of == who && !excuse.holds(at);
            if by.is_some_and(|by| at > by)
                && !self.absent.contains(who)
                && self.works.iter().any(works)
            {
                return Err(format!("{who} works on although it has seen a higher host"));
            }
        }
        Ok(())
    }

    fn note_begun(&mut self, key: Key, term: u64, known: u64) {
        let lost = self.forgotten.iter();
        let unheard = lost.filter(|(of, lost)| *of == key && *lost > known);
        self.unheard.extend(unheard.copied());
        self.begun.insert((key, term));
    }

    fn note_forgotten(&mut self, terms: &[(Key, u64)]) {
        for (key, newest) in terms {
            let begun = self.begun.iter();
            let lost = begun.filter(|(of, term)| of == key && term > newest);
            self.forgotten.extend(lost.copied());
        }
    }
}

impl Invariant for OneWorker {
    fn name(&self) -> &'static str {
        "1: one worker at a time"
    }

    fn observe(&mut self, at: Time, fact: &Fact) -> Result<(), String> {
        self.check_seen(at)?;
        match fact {
            Fact::Began {
                key, term, known, ..
            } => {
                self.note_begun(*key, *term, *known);
                Ok(())
            }
            Fact::Forgotten { terms } => {
                self.note_forgotten(terms);
                Ok(())
            }
            Fact::Saw { who, keys, by } => {
                self.seen.insert(*who, (keys.clone(), *by));
                Ok(())
            }
            Fact::WorkStarted { who, key, .. }
                if (self.seen.get(who)).is_some_and(|(keys, _)| keys.contains(key)) =>
            {
                Err(format!(
                    "{who} begins election {}, which it has seen led on another host",
                    key.0
                ))
            }
            Fact::WorkStarted { who, key, term } => {
                self.works.insert((*key, *term, *who), Excuse::default());
                self.check(at, |changed| changed == key)
            }
            Fact::WorkStopped { who, key, term, .. } => {
                self.works.remove(&(*key, *term, *who));
                Ok(())
            }
            Fact::Overran { who, key, term, by } => {
                if let Some(excuse) = self.works.get_mut(&(*key, *term, *who)) {
                    excuse.overran = Some(*by);
                }
                Ok(())
            }
            Fact::Blocks {
                who,
                key,
                term,
                until,
            } => {
                if let Some(excuse) = self.works.get_mut(&(*key, *term, *who)) {
                    excuse.blocks_until = *until;
                }
                Ok(())
            }
            Fact::Died { who, .. } => {
                self.works.retain(|(.., of), _| of != who);
                self.absent.retain(|absent| absent != who);
                self.seen.remove(who);
                Ok(())
            }
            Fact::Halted { who } => {
                self.absent.push(*who);
                Ok(())
            }
            Fact::Looked { who } => {
                self.absent.retain(|absent| absent != who);
                self.check(at, |_| true)
            }
            _ => Ok(()),
        }
    }
}
