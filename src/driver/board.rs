//! What handles and readers have of each election, beside what the engine knows. A panic of the driver leaves it as it
//! is: plain data, complete after every step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::engine::{Candidature, Input, Key, Notice, Published};
use crate::foreign::log::Entry;
use crate::session::{Candidate, Command, sentences};
use crate::standing::{Shared, Snapshot};
use crate::work::term_state::TermState;

/// An election that this process follows, as candidate, observer or both; or did.
pub(super) struct Election {
    pub(super) name: Arc<str>,
    shared: Arc<Shared>,
    pub(super) candidate: Option<Candidate>,
    observed: bool,
    /// A term that others see led here, until its work has stopped.
    term: Option<Shown>,
}

struct Shown {
    state: Arc<TermState>,
    /// From here on its guard says when nothing of the work runs any more.
    started: bool,
}

/// Who waits until something is given up.
struct Waiter {
    key: Key,
    candidacy: u64,
    told: CancellationToken,
    led: Arc<AtomicBool>,
}

#[derive(Default)]
pub(super) struct Board {
    elections: BTreeMap<Key, Election>,
    resigning: Vec<Waiter>,
    /// Those of which something has ended: nobody may follow them any more.
    ending: Vec<Key>,
}

impl Board {
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.elections.len() + self.resigning.len() + self.ending.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Election> {
        self.elections.get(&key)
    }

    /// Note what a command brings along, and say what the engine is to hear.
    pub(super) fn note(&mut self, command: Command) -> Input {
        match command {
            // Nothing is accepted after a shutdown: `Inner::entry` sees to it.
            Command::Join { key, candidate } => {
                let candidature = self.join(key, candidate);
                Input::Join { key, candidature }
            }
            Command::Observe { key, shared } => {
                let election = self.follow(key, &shared);
                self.observe(key, true);
                Input::Observe { key, election }
            }
            Command::Unobserve { key } => {
                self.observe(key, false);
                Input::Unobserve { key }
            }
            Command::GiveUp {
                key,
                candidacy,
                told,
                led,
            } => {
                self.resigning.push(Waiter {
                    key,
                    candidacy,
                    told,
                    led,
                });
                Input::GiveUp { key, candidacy }
            }
            Command::Leave { key, candidacy } => Input::Leave { key, candidacy },
            Command::Shutdown => Input::Shutdown,
            Command::OfWork(input) => {
                if let Input::Stopped { key, term, .. } = input {
                    self.stopped(key, term);
                }
                input
            }
            #[cfg(feature = "testing")]
            Command::Panic(_) => Input::Timer,
        }
    }

    /// Its name.
    fn follow(&mut self, key: Key, shared: &Arc<Shared>) -> Arc<str> {
        let election = self.elections.entry(key).or_insert_with(|| Election {
            name: shared.name.as_str().into(),
            shared: Arc::clone(shared),
            candidate: None,
            observed: false,
            term: None,
        });
        // Where its elector had forgotten it meanwhile, the handles of now have another.
        election.shared = Arc::clone(shared);
        Arc::clone(&election.name)
    }

    fn observe(&mut self, key: Key, observed: bool) {
        if let Some(election) = self.elections.get_mut(&key) {
            election.observed = observed;
            self.ending.push(key);
        }
    }

    /// Once all is done and said that one input asks for: those that nobody follows any more are forgotten.
    pub(super) fn forget(&mut self) {
        for key in std::mem::take(&mut self.ending) {
            let idle = |election: &Election| {
                election.candidate.is_none() && !election.observed && election.term.is_none()
            };
            if self.get(key).is_some_and(idle) {
                self.elections.remove(&key);
            }
        }
    }

    fn join(&mut self, key: Key, candidate: Candidate) -> Candidature {
        let candidature = candidate.candidature(self.follow(key, &candidate.shared));
        if let Some(election) = self.elections.get_mut(&key) {
            election.candidate = Some(candidate);
        }
        candidature
    }

    /// Those who have waited for it. `led`: there was a term to give up.
    pub(super) fn resigned(&mut self, of: Key, number: u64, led: bool) -> Vec<CancellationToken> {
        let waits = |one: &mut Waiter| one.key == of && one.candidacy == number;
        let told = self.resigning.extract_if(.., waits).map(|one| {
            one.led.store(led, Ordering::Release);
            one.told
        });
        told.collect()
    }

    /// What it brought along is the application's.
    pub(super) fn left(&mut self, key: Key) -> Option<Candidate> {
        self.ending.push(key);
        self.elections.get_mut(&key)?.candidate.take()
    }

    pub(super) fn begin(&mut self, key: Key, state: Arc<TermState>) {
        if let Some(election) = self.elections.get_mut(&key) {
            let started = false;
            election.term = Some(Shown { state, started });
        }
    }

    /// The term that has begun.
    pub(super) fn term(&self, key: Key) -> Option<&Arc<TermState>> {
        Some(&self.get(key)?.term.as_ref()?.state)
    }

    pub(super) fn started(&mut self, key: Key) {
        let election = self.elections.get_mut(&key);
        if let Some(shown) = election.and_then(|election| election.term.as_mut()) {
            shown.started = true;
        }
    }

    fn stopped(&mut self, key: Key, number: u64) {
        if let Some(election) = self.elections.get_mut(&key) {
            election.term.take_if(|shown| shown.state.number == number);
            self.ending.push(key);
        }
    }

    fn working(&self) -> impl Iterator<Item = (Key, &Election, &Arc<TermState>)> {
        let elections = self.elections.iter();
        elections.filter_map(|(key, election)| {
            let shown = election.term.as_ref().filter(|shown| shown.started)?;
            Some((*key, election, &shown.state))
        })
    }

    /// The terms whose work has not stopped.
    pub(super) fn running(&self) -> Vec<(Key, u64)> {
        let working = self.working();
        working.map(|(key, _, state)| (key, state.number)).collect()
    }

    /// No work may go on.
    pub(super) fn end_all(&self) {
        for (_, _, state) in self.working() {
            state.end();
            state.drop_work();
        }
    }

    /// Whoever looks finds it from here on.
    pub(super) fn publish(&self, key: Key, published: Published) {
        let own = published.own.and(self.term(key)).map(Arc::clone);
        if let Some(election) = self.get(key) {
            election.shared.publish(Snapshot {
                own,
                term: published.term,
                state: published.state,
                address: published.address,
                waiting_for: published.waiting_for,
                refusal: published.refusal,
                known_until: published.known_until,
            });
        }
    }

    pub(super) fn entry(&self, notice: &Notice) -> Entry {
        let entry = sentences::entry(notice);
        let Some(election) = notice.key().and_then(|key| self.get(key)) else {
            return entry;
        };
        let candidate = election.candidate.as_ref();
        entry.of(
            &election.name,
            candidate.map(|candidate| &candidate.address),
        )
    }
}
