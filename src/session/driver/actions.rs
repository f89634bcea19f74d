//! What the state machine wants done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::stream::StreamExt;

use super::open::open;
use super::{Driver, Election, Office};
use crate::config::Overrun;
use crate::protocol::{Action, Instant, Key, Notice, Query};
use crate::session::publish;
use crate::session::queries::{Asked, Asker, Known};
use crate::session::work::{self, Guard};
use crate::standing::ElectionState;
use crate::term::{Term, TermState};

impl Driver {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Connect => {
                let open = open(
                    self.config.clone(),
                    self.timings.clone(),
                    self.instance.clone(),
                );
                self.opening = Some(Box::pin(open));
            }
            Action::Send { sent, query } => self.send(sent, query),
            Action::Abandon => self.hang_up(),
            Action::Start { key, term } => self.start(key, term),
            Action::Cancel { key } => self.with_office(key, |office| office.state.end()),
            Action::Drop { key } => self.with_office(key, |office| office.state.drop_work()),
            Action::Overrun { key, term } => self.overrun(key, term),
            Action::Left { key } => {
                if let Some(election) = self.elections.get_mut(&key) {
                    if let Some(office) = election.office.take() {
                        office.state.ended.cancel();
                    }
                    if let Some(candidate) = election.candidate.take() {
                        candidate.left.cancel();
                    }
                    self.forget(key);
                }
            }
            Action::Finish => {
                self.finished = true;
                self.say_goodbye();
            }
            Action::Tell(notice) => self.tell(&notice),
        }
    }

    pub(super) fn with_office(&self, key: Key, act: impl FnOnce(&Office)) {
        if let Some(office) = self
            .elections
            .get(&key)
            .and_then(|election| election.office.as_ref())
        {
            act(office);
            self.watch.look();
        }
    }

    pub(super) fn send(&mut self, sent: Instant, query: Query) {
        let Some(line) = &self.line else { return };
        let Some(instance) = &self.instance else {
            return;
        };
        let first_address = self
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
        let Some(line) = self.line.take() else { return };
        line.leash.end();
        drop(line);
        for election in self.elections.values_mut() {
            election.request = None;
            election.waits.leave_office();
            publish::unknown(&election.shared);
            if let Some(office) = election.office.take_if(|office| office.stopped) {
                office.state.ended.cancel();
            }
        }
    }

    /// The orderly end of a session: nothing runs any more.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.leash.end();
            line.queries.clear();
            drop(line.link);
            // With its last client gone the connection writes its goodbye when it is polled.
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = line.messages.poll_next_unpin(&mut context) {}
        }
    }

    pub(super) fn start(&mut self, key: Key, number: u64) {
        let Some(line) = &self.line else { return };
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let Some(candidate) = &election.candidate else {
            return;
        };
        tracing::info!(
            election = &*election.name,
            term = number,
            address = &*candidate.address,
            "took office"
        );
        let state = TermState::new(&election.name, number, &line.leash, &line.socket);
        let guard = Guard::new(
            Arc::clone(&state),
            key,
            self.sender.clone(),
            Arc::clone(&self.watch),
            candidate.runtime.clone(),
            Arc::clone(&line.socket),
        );
        let term = Term {
            election: Arc::clone(&election.name),
            address: Arc::clone(&candidate.address),
            key,
            state: Arc::clone(&state),
            commands: self.sender.clone(),
            work: Arc::downgrade(&guard),
        };
        work::start(guard, candidate.lead.clone(), term);
        publish::leads(
            &election.shared,
            Arc::clone(&state),
            &candidate.address,
            ElectionState::Recovering,
        );
        election.request = None;
        election.waits.leave_office();
        election.office = Some(Office {
            state,
            stopped: false,
        });
    }

    pub(super) fn overrun(&self, key: Key, term: u64) {
        // Its watch does this too, and needs no driver.
        if self.config.overrun == Overrun::Abort {
            self.watch.end_process();
        }
        let Some(election) = self.elections.get(&key) else {
            return;
        };
        let election = &*election.name;
        tracing::error!(
            election,
            term,
            "the work outlives its lease, for it blocks its thread or the process stood still: it may overlap the next term's work"
        );
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
            | Notice::OutOfGrace { key, .. } => *key,
        };
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let address = election
            .candidate
            .as_ref()
            .map_or("", |candidate| &*candidate.address);
        publish::tell(&election.name, address, notice);
        if election.waits.note(notice) {
            publish::waits(&election.shared, election.waits.waiting_for());
        }
        if let Notice::Vacated { term, .. } = notice
            && let Some(office) = election
                .office
                .take_if(|office| office.state.number == *term)
        {
            office.state.ended.cancel();
        }
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
                request: election.request.clone(),
            };
            (key, known)
        };
        match query.keys() {
            Some(keys) => keys
                .iter()
                .filter_map(|key| self.elections.get_key_value(key))
                .map(known)
                .collect(),
            None => self.elections.iter().map(known).collect(),
        }
    }
}
