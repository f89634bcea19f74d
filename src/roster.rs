//! The names of the elections that a process has handles of, and how each is called to the driver.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::engine::Key;
use crate::standing::Shared;

/// What all handles of an elector share. An election is forgotten with the last of them, whether candidacy or observer,
/// once its candidacy is over; of one that this process was a candidate of its key stays, by which the engine keeps the
/// highest term that was heard of: a later candidacy is held to it (invariant 2).
#[derive(Debug, Default)]
pub(crate) struct Roster {
    by_name: HashMap<Box<str>, Roles>,
    keys: HashMap<Box<str>, Key>,
    last_key: u32,
    came_round: bool,
    candidacies: u64,
}

/// What this process is in an election.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) key: Key,
    pub(crate) shared: Arc<Shared>,
    pub(crate) observers: usize,
    /// The candidacy; over once this is cancelled.
    pub(crate) left: Option<CancellationToken>,
    /// Who is not yet dropped: handles, and what a candidacy has brought along.
    holds: usize,
}

impl Roles {
    pub(crate) fn is_candidate(&self) -> bool {
        let left = self.left.as_ref();
        left.is_some_and(|left| !left.is_cancelled())
    }
}

impl Roster {
    /// The election of that name, held once more: for each call here there is one of [`release`](Roster::release).
    pub(crate) fn hold(&mut self, name: &str, shared: impl FnOnce() -> Shared) -> &mut Roles {
        let known = self.by_name.get(name).map(|roles| roles.key);
        let key = known.or_else(|| self.keys.get(name).copied());
        let key = key.unwrap_or_else(|| self.next_key());
        let roles = self.by_name.entry(name.into()).or_insert_with(|| Roles {
            key,
            shared: Arc::new(shared()),
            observers: 0,
            left: None,
            holds: 0,
        });
        roles.holds += 1;
        roles
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Roles> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn release(&mut self, name: &str) {
        let Some(roles) = self.by_name.get_mut(name) else {
            return;
        };
        roles.holds -= 1;
        if roles.holds > 0 {
            return;
        }
        if let Some(roles) = self.by_name.remove(name)
            && roles.left.is_some()
        {
            self.keys.entry(name.into()).or_insert(roles.key);
        }
        if self.by_name.capacity() / 4 > self.by_name.len() {
            self.by_name.shrink_to(self.by_name.len() * 2);
        }
    }

    /// No two candidacies of an elector have the same number: what a handle asks is not for a later one.
    pub(crate) fn next_candidacy(&mut self) -> u64 {
        self.candidacies += 1;
        self.candidacies
    }

    /// None is given out twice before all were: names may be used and forgotten for years.
    fn next_key(&mut self) -> Key {
        loop {
            self.last_key = self.last_key.wrapping_add(1);
            self.came_round |= self.last_key == 0;
            let key = Key(self.last_key);
            if !self.came_round || !self.is_taken(key) {
                return key;
            }
        }
    }

    fn is_taken(&self, key: Key) -> bool {
        self.by_name.values().any(|roles| roles.key == key)
            || self.keys.values().any(|kept| *kept == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::hands::Hands;

    const NAMES: usize = 10_000;

    /// What a name costs that was campaigned in, beside its letters, in the worst case of a table that has just grown.
    const EACH: usize = 64;

    struct Office {
        roster: Roster,
        hands: Hands,
    }

    impl Office {
        fn new() -> Office {
            Office {
                roster: Roster::default(),
                hands: Hands::start(2).unwrap(),
            }
        }

        fn hold(&mut self, name: &str) -> &mut Roles {
            let (hands, done) = (self.hands.clone(), CancellationToken::new());
            let shared = || Shared::new(name.to_owned(), hands, done);
            self.roster.hold(name, shared)
        }

        /// What is allocated for names, without their letters.
        fn kept(&self) -> usize {
            let named = size_of::<(Box<str>, Roles)>() + 1;
            let keyed = size_of::<(Box<str>, Key)>() + 1;
            self.roster.by_name.capacity() * named + self.roster.keys.capacity() * keyed
        }
    }

    #[test]
    fn names_that_were_only_observed_are_forgotten() {
        let mut office = Office::new();
        let names: Vec<String> = (0..NAMES).map(|nth| format!("e{nth}")).collect();
        for name in &names {
            office.hold(name).observers = 1;
        }
        for name in &names {
            office.roster.release(name);
        }
        assert!(office.roster.by_name.is_empty() && office.roster.keys.is_empty());
        assert!(office.kept() < EACH * 10, "{}", office.kept());
    }

    #[test]
    fn of_names_that_were_campaigned_in_a_key_stays_and_is_theirs_again() {
        let mut office = Office::new();
        let names: Vec<String> = (0..NAMES).map(|nth| format!("e{nth}")).collect();
        let mut keys = vec![];
        for name in &names {
            let roles = office.hold(name);
            roles.left = Some(CancellationToken::new());
            keys.push(roles.key);
            office.roster.release(name);
        }
        assert!(office.kept() < EACH * NAMES, "{}", office.kept());
        let other = office.hold("other").key;
        for (name, key) in names.iter().zip(keys) {
            assert_eq!(office.hold(name).key, key);
            assert_ne!(key, other);
        }
    }

    #[test]
    fn who_is_held_is_not_forgotten() {
        let mut office = Office::new();
        let shared = Arc::clone(&office.hold("e").shared);
        office.hold("e");
        office.roster.release("e");
        assert!(Arc::ptr_eq(&office.hold("e").shared, &shared));
        office.roster.release("e");
        office.roster.release("e");
        assert!(!Arc::ptr_eq(&office.hold("e").shared, &shared));
        office.roster.release("unknown");
    }

    #[test]
    fn no_key_is_that_of_two_names_when_all_were_given_out() {
        let mut office = Office::new();
        office.roster.last_key = u32::MAX - 1;
        let last = office.hold("last").key;
        office.roster.last_key = 0;
        let first = office.hold("first").key;
        office.hold("first").left = Some(CancellationToken::new());
        office.roster.release("first");
        office.roster.release("first");
        office.roster.last_key = u32::MAX - 1;
        office.roster.came_round = true;
        let next = office.hold("next").key;
        assert!(next != last && next != first, "{next:?}");
    }
}
