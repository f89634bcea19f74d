//! What the state machine wants done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::stream::StreamExt;
use tracing::Level;

use super::open::open;
use super::{Driver, Election, Office};
use crate::config::Overrun;
use crate::engine::{Action, Instant, Key, Notice, Published, Query};
use crate::session::log::Entry;
use crate::session::notices;
use crate::session::queries::{Asked, Asker, Known};
use crate::session::work::{self, Guard};
use crate::standing::Snapshot;
use crate::term::{Term, TermState};
#[cfg(feature = "testing")]
use crate::testing::PanicAt;

impl Driver {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Publish { key, published } => self.publish(key, published),
            Action::Connect => {
                let open = open(
                    self.config.clone(),
                    self.timings.clone(),
                    self.memory.instance.clone(),
                    self.memory.first.is_some(),
                    self.known_hosts(),
                    self.log.clone(),
                );
                self.opening = Some(Box::pin(open));
            }
            Action::Send { sent, query } => self.send(sent, query),
            Action::Abandon => self.hang_up(),
            Action::Start { key, term } => self.start(key, term),
            Action::Cancel { key } => self.with_office(key, |office| office.state.end()),
            Action::Drop { key } => self.with_office(key, |office| office.state.drop_work()),
            Action::Overrun { key, term } => self.overrun(key, term),
            Action::GaveUp { key } => self.gave_up(key),
            Action::Left { key } => self.left(key),
            Action::Finish => {
                self.finished = true;
                self.say_goodbye();
            }
            Action::Tell(notice) => self.tell(&notice),
        }
    }

    pub(super) fn left(&mut self, key: Key) {
        let Some(election) = self.memory.elections.get_mut(&key) else {
            return;
        };
        election.leaves = false;
        election.owed = None;
        election.office = None;
        if let Some(candidate) = election.candidate.take() {
            let left = candidate.left.clone();
            self.hands.wake(move || left.cancel());
            self.hands.discard(candidate);
        }
        self.forget(key);
    }

    pub(super) fn with_office(&self, key: Key, act: impl FnOnce(&Office)) {
        if let Some(office) = self
            .memory
            .elections
            .get(&key)
            .and_then(|election| election.office.as_ref())
        {
            act(office);
            self.watch.look();
        }
    }

    pub(super) fn send(&mut self, sent: Instant, query: Query) {
        if let Query::Vacate { key, term, ending } = query
            && let Some(election) = self.memory.elections.get_mut(&key)
        {
            election.owed = Some((term, ending));
        }
        let Some(line) = &self.line else { return };
        let Some(instance) = &self.memory.instance else {
            return;
        };
        let first_address = self
            .memory
            .elections
            .values()
            .find_map(|election| election.candidate.as_ref())
            .map(|candidate| &*candidate.address);
        let asker = Asker {
            link: Arc::clone(&line.link),
            instance: Arc::clone(instance),
            direct: line.direct,
            timings: self.timings.clone(),
            application: format!(
                "{} {}",
                self.config.application_name,
                first_address.unwrap_or_default()
            ),
            elections: self.known(&query),
        };
        let mut asked: Asked = Box::pin(asker.ask(sent, query));
        // The first poll hands the request to the connection: requests leave in the order in which the
        // machine gave them.
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => self.early.push(reply),
            Poll::Pending => line.queries.push(asked),
        }
    }

    /// Let go of the session without a word. While work runs its guard keeps the socket open.
    pub(super) fn hang_up(&mut self) {
        self.early.clear();
        self.lookout = None;
        let Some(line) = self.line.take() else { return };
        line.leash.end();
        drop(line);
        for election in self.memory.elections.values_mut() {
            election.office.take_if(|office| !office.works());
        }
    }

    /// The orderly end of a session: nothing runs any more.
    pub(super) fn say_goodbye(&mut self) {
        self.lookout = None;
        if let Some(mut line) = self.line.take() {
            line.leash.end();
            line.queries.clear();
            drop(line.link);
            // With its last client gone the connection writes its goodbye when it is polled.
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = line.messages.poll_next_unpin(&mut context) {}
        }
    }

    /// Whoever looks finds it from here on.
    fn publish(&mut self, key: Key, published: Published) {
        let own = published.own.and_then(|term| self.office(key, term));
        let Some(election) = self.memory.elections.get(&key) else {
            return;
        };
        let candidate = election.candidate.as_ref().filter(|_| own.is_some());
        let address = candidate.map(|candidate| Arc::clone(&candidate.address));
        election.shared.publish(Snapshot {
            own,
            term: published.term,
            state: published.state,
            address: address.or(published.address),
            waiting_for: published.waiting_for,
            known_until: published.known_until,
        });
    }

    /// What the work and the handles of a term share.
    fn office(&mut self, key: Key, term: u64) -> Option<Arc<TermState>> {
        let line = self.line.as_ref()?;
        let election = self.memory.elections.get_mut(&key)?;
        if let Some(office) = &election.office
            && office.state.number == term
        {
            return Some(Arc::clone(&office.state));
        }
        let state = TermState::new(
            &election.name,
            term,
            election.token.take().unwrap_or_default(),
            &line.leash,
            &line.socket,
            &self.watch.hands,
        );
        election.request = None;
        election.office = Some(Office {
            state: Arc::clone(&state),
            started: false,
            stopped: false,
        });
        Some(state)
    }

    pub(super) fn start(&mut self, key: Key, number: u64) {
        let Some(state) = self.office(key, number) else {
            return;
        };
        let Some(line) = &self.line else { return };
        let Some(election) = self.memory.elections.get_mut(&key) else {
            return;
        };
        let Some(candidate) = &election.candidate else {
            return;
        };
        // Made first: whatever becomes of the work from here on, its guard says when nothing of it runs.
        let guard = Guard::new(
            Arc::clone(&state),
            key,
            self.sender.clone(),
            Arc::clone(&self.watch),
            candidate.runtime.clone(),
            Arc::clone(&line.socket),
        );
        if let Some(office) = &mut election.office {
            office.started = true;
        }
        self.watch.add(&state);
        let term = Term {
            election: Arc::clone(&election.name),
            address: Arc::clone(&candidate.address),
            key,
            state,
            commands: self.sender.clone(),
            work: Arc::downgrade(&guard),
        };
        let lead = candidate.lead.clone();
        let took_office = Entry::new(Level::INFO, "took office").term(number);
        let address = Some(&candidate.address);
        self.said.push(took_office.of(&election.name, address));
        #[cfg(feature = "testing")]
        self.trip(PanicAt::Start);
        // A runtime that is shut down drops it on the spot.
        self.starters.give(move || work::start(guard, lead, term));
    }

    pub(super) fn overrun(&mut self, key: Key, term: u64) {
        // Its watch does this too, and needs no driver.
        if self.config.overrun == Overrun::Abort {
            self.watch.end_process();
        }
        let Some(election) = self.memory.elections.get(&key) else {
            return;
        };
        let message = "the work outlives its lease, for it blocks its thread or the process stood still: it may \
                       overlap the next term's work";
        let overrun = Entry::new(Level::ERROR, message).term(term);
        self.said.push(overrun.of(&election.name, None));
    }

    pub(super) fn tell(&mut self, notice: &Notice) {
        let key = match notice {
            Notice::Stranger { key, .. }
            | Notice::Barred { key, .. }
            | Notice::Waiting { key, .. }
            | Notice::Spared { key, .. }
            | Notice::Fenced { key }
            | Notice::FencedEnded { key, .. }
            | Notice::Evicting { key, .. }
            | Notice::Deposed { key, .. }
            | Notice::Vacated { key, .. }
            | Notice::VacateRefused { key, .. }
            | Notice::Declined { key }
            | Notice::Stale { key, .. }
            | Notice::OutOfGrace { key, .. } => *key,
        };
        let Some(election) = self.memory.elections.get_mut(&key) else {
            return;
        };
        let address = election
            .candidate
            .as_ref()
            .map(|candidate| &candidate.address);
        let entry = notices::entry(&election.name, address, notice);
        self.said.push(entry);
        if let Notice::Vacated { term, .. } = notice {
            election.owed.take_if(|(owed, _)| owed == term);
            election
                .office
                .take_if(|office| office.state.number == *term);
        }
    }

    /// Tell those who wait for it.
    fn gave_up(&mut self, key: Key) {
        let resigning = &mut self.memory.resigning;
        for (_, told) in resigning.extract_if(.., |(of, _)| *of == key) {
            self.hands.wake(move || told.cancel());
        }
    }

    pub(super) fn say(&mut self, level: Level, message: String) {
        self.said.push(Entry::new(level, message));
    }

    /// What a query needs to know of the elections that it is about.
    fn known(&self, query: &Query) -> BTreeMap<Key, Known> {
        let known = |(&key, election): (&Key, &Election)| {
            let address = election
                .candidate
                .as_ref()
                .map(|candidate| Arc::clone(&candidate.address));
            let known = Known {
                name: Arc::clone(&election.name),
                address,
                priority: election
                    .candidate
                    .as_ref()
                    .map_or(0, |candidate| candidate.priority),
                id: election.id,
                request: match query {
                    Query::Vacate { term, .. } => election.asked_of(*term),
                    _ => None,
                },
            };
            (key, known)
        };
        match query.keys() {
            Some(keys) => keys
                .iter()
                .filter_map(|key| self.memory.elections.get_key_value(key))
                .map(known)
                .collect(),
            None => self.memory.elections.iter().map(known).collect(),
        }
    }
}
