//! What the engine knows of an election beside the rules.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Asked, Candidature, Ending, Id, Key};

/// One election. It outlives sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Desk {
    pub(super) election: Arc<str>,
    /// Once it was joined.
    pub(super) id: Option<Id>,
    pub(super) candidature: Option<Candidature>,
    pub(super) observed: bool,
    /// Somebody waits until what is held is given up.
    pub(super) resigning: Option<Resigning>,
    /// The candidacy is to end.
    pub(super) leaves: bool,
    /// That of the newest term that has begun for this process.
    pub(super) token: Option<Arc<str>>,
    /// A term that began and is not on record as vacated.
    pub(super) owed: Option<(u64, Ending)>,
    /// The term whose work was started and has not stopped.
    pub(super) running: Option<u64>,
    /// What an operator asked for that ends this term. It is told with the vacate, on whatever session that is sent.
    pub(super) asked: Option<(u64, Asked)>,
    /// Who was last said to be in the way and not ended.
    pub(super) in_the_way: Option<Arc<str>>,
}

/// `term`: the one that ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resigning {
    pub(super) term: Option<u64>,
}

impl Desk {
    fn new(election: Arc<str>) -> Self {
        Desk {
            election,
            id: None,
            candidature: None,
            observed: false,
            resigning: None,
            leaves: false,
            token: None,
            owed: None,
            running: None,
            asked: None,
            in_the_way: None,
        }
    }

    /// A term has begun: from here on it is owed a vacate, come what may.
    pub(super) fn begun(&mut self, term: u64, token: &Arc<str>) {
        self.token = Some(Arc::clone(token));
        self.owed = Some((term, Ending::Deposed));
        if let Some(resigning) = &mut self.resigning {
            resigning.term = Some(term);
        }
    }

    /// Whether this is the candidacy of the moment.
    pub(super) fn is_candidacy(&self, number: u64) -> bool {
        let candidature = self.candidature.as_ref();
        candidature.is_some_and(|candidature| candidature.number == number)
    }
}

/// What only names something does not tell states apart.
impl Hash for Desk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.candidature.is_some().hash(state);
        self.observed.hash(state);
        self.resigning.hash(state);
        self.leaves.hash(state);
        self.owed.hash(state);
        self.running.hash(state);
        self.asked.hash(state);
    }
}

/// By key, and by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Desks {
    pub(super) desks: BTreeMap<Key, Desk>,
    names: BTreeMap<Arc<str>, Key>,
}

/// A name says no more than the key.
impl Hash for Desks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.desks.hash(state);
    }
}

impl Desks {
    pub(super) fn open(&mut self, key: Key, election: &Arc<str>) -> &mut Desk {
        self.names.insert(Arc::clone(election), key);
        let desk = || Desk::new(Arc::clone(election));
        self.desks.entry(key).or_insert_with(desk)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Desk> {
        self.desks.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Desk> {
        self.desks.get_mut(&key)
    }

    /// The one that is neither a candidate's nor observed is gone.
    pub(super) fn close(&mut self, key: Key) {
        let idle = |desk: &&Desk| desk.candidature.is_none() && !desk.observed;
        if let Some(desk) = self.get(key).filter(idle) {
            let election = Arc::clone(&desk.election);
            self.names.remove(&election);
            self.desks.remove(&key);
        }
    }

    pub(super) fn named(&self, election: &str) -> Option<Key> {
        self.names.get(election).copied()
    }
}
