//! The candidacies of a process, and what of them is due when: of thousands an event touches a few.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use crate::engine::candidacy::Contender;
use crate::engine::{Instant, Key};

/// By key. Whoever may have been changed is touched, until [`Contenders::settled`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Contenders {
    all: BTreeMap<Key, Contender>,
    touched: BTreeSet<Key>,
    index: Index,
}

/// What something is due for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// The work is dropped, or the process ends for it.
    Work,
    /// The candidacy ends without the database's word.
    GiveUp,
    Join,
    Campaign,
    /// As the successor, with the others.
    Probe,
    TakeOffice,
    Ready,
    Vacate,
    Leave,
    BackendGone,
    Evict,
    EndFenced,
}

impl Due {
    pub(super) const ALL: [Due; 12] = [
        Due::Work,
        Due::GiveUp,
        Due::Join,
        Due::Campaign,
        Due::Probe,
        Due::TakeOffice,
        Due::Ready,
        Due::Vacate,
        Due::Leave,
        Due::BackendGone,
        Due::Evict,
        Due::EndFenced,
    ];
}

/// What a candidacy is, as far as the session is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    /// It holds the leadership, whatever it does with it.
    Holder,
    /// Of these work may run in its term.
    Leader,
    Successor,
    /// It has won the lock, and waits to take office.
    Waiter,
    /// Its work has not stopped.
    Worker,
    /// It owes a vacate.
    Debtor,
}

impl Role {
    const ALL: [Role; 6] = [
        Role::Holder,
        Role::Leader,
        Role::Successor,
        Role::Waiter,
        Role::Worker,
        Role::Debtor,
    ];

    fn is_played_by(self, contender: &Contender) -> bool {
        match self {
            Role::Holder => contender.holds_leadership(),
            Role::Leader => contender.term().is_some(),
            Role::Successor => contender.is_successor(),
            Role::Waiter => contender.waiting().is_some(),
            Role::Worker => contender.work.is_some(),
            Role::Debtor => contender.owed.is_some(),
        }
    }
}

/// What is known of those that are not touched. It follows from what they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    due: BTreeSet<(Due, Instant, Key)>,
    roles: BTreeSet<(Role, Key)>,
    of: BTreeMap<Key, Vec<(Due, Instant)>>,
}

impl Hash for Index {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Contenders {
    pub(super) fn get(&self, key: Key) -> Option<&Contender> {
        self.all.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Contender> {
        let contender = self.all.get_mut(&key)?;
        self.touched.insert(key);
        Some(contender)
    }

    pub(super) fn insert(&mut self, key: Key, contender: Contender) {
        self.all.insert(key, contender);
        self.touched.insert(key);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Contender> {
        self.touched.insert(key);
        self.all.remove(&key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.all.contains_key(&key)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.all.keys().copied().collect()
    }

    /// All of them are touched.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut Contender)> {
        self.touched.extend(self.all.keys());
        self.all
            .iter_mut()
            .map(|(key, contender)| (*key, contender))
    }

    /// Something that it depends on has changed.
    pub(super) fn touch(&mut self, key: Key) {
        self.touched.insert(key);
    }

    pub(super) fn touched(&self) -> Vec<Key> {
        self.touched.iter().copied().collect()
    }

    /// Those for which it is due by now, in their order. `due`: when it is, by what they are now.
    pub(super) fn due(
        &self,
        now: Instant,
        what: Due,
        due: impl Fn(&Contender) -> Instant,
    ) -> Vec<Key> {
        let touched = self.touched.iter().filter(|key| {
            let contender = self.all.get(key);
            contender.is_some_and(|contender| due(contender) <= now)
        });
        let until = (what, now, Key(u32::MAX));
        let indexed = self
            .index
            .due
            .range((what, Instant::default(), Key(0))..=until);
        let indexed = indexed.map(|(_, _, key)| key);
        let indexed = indexed.filter(|key| !self.touched.contains(key));
        let keys: BTreeSet<Key> = touched.chain(indexed).copied().collect();
        keys.into_iter().collect()
    }

    /// When it is due next for one of them. Nobody is touched then.
    pub(super) fn next_due(&self, what: Due) -> Instant {
        let first = (what, Instant::default(), Key(0));
        let next = self.index.due.range(first..).next();
        let next = next.filter(|(of, _, _)| *of == what);
        next.map_or(Instant::NEVER, |(_, at, _)| *at)
    }

    pub(super) fn any(&self, role: Role) -> bool {
        let indexed = self
            .index
            .roles
            .range((role, Key(0))..=(role, Key(u32::MAX)));
        let mut indexed = indexed.filter(|(_, key)| !self.touched.contains(key));
        indexed.next().is_some()
            || self.touched.iter().any(|key| {
                let contender = self.all.get(key);
                contender.is_some_and(|contender| role.is_played_by(contender))
            })
    }

    pub(super) fn those(&self, role: Role) -> Vec<Key> {
        let indexed = self
            .index
            .roles
            .range((role, Key(0))..=(role, Key(u32::MAX)));
        let indexed = indexed.map(|(_, key)| key);
        let indexed = indexed.filter(|key| !self.touched.contains(key));
        let touched = self.touched.iter().filter(|key| {
            let contender = self.all.get(key);
            contender.is_some_and(|contender| role.is_played_by(contender))
        });
        let keys: BTreeSet<Key> = touched.chain(indexed).copied().collect();
        keys.into_iter().collect()
    }

    /// Nobody is touched from here. `due`: when what is due, by what they are now.
    pub(super) fn settled(&mut self, due: impl Fn(&Contender, Due) -> Instant) {
        for key in std::mem::take(&mut self.touched) {
            for (what, at) in self.index.of.remove(&key).unwrap_or_default() {
                self.index.due.remove(&(what, at, key));
            }
            for role in Role::ALL {
                self.index.roles.remove(&(role, key));
            }
            let Some(contender) = self.all.get(&key) else {
                continue;
            };
            for role in Role::ALL {
                if role.is_played_by(contender) {
                    self.index.roles.insert((role, key));
                }
            }
            let its = Due::ALL.map(|what| (what, due(contender, what)));
            let its: Vec<_> = its
                .into_iter()
                .filter(|(_, at)| *at < Instant::NEVER)
                .collect();
            let entries = its.iter().map(|(what, at)| (*what, *at, key));
            self.index.due.extend(entries);
            self.index.of.insert(key, its);
        }
    }
}

impl<'a> IntoIterator for &'a Contenders {
    type Item = (&'a Key, &'a Contender);
    type IntoIter = std::collections::btree_map::Iter<'a, Key, Contender>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}
