//! What is left when the driver panics, and how it goes on from there.

use std::sync::Arc;

use super::thread::seed;
use super::{Driver, Election};
use crate::clock;
use crate::engine::{Event, Process};
use crate::session::hands::quietly;
use crate::session::statements::Request;
use crate::term::TermState;

impl Driver {
    /// No handle may find a term current any more, and no work may go on.
    pub(super) fn end_all_terms(&self) {
        if let Some(line) = &self.line {
            line.leash.end();
        }
        for election in self.memory.elections.values() {
            if let Some(office) = election.office.as_ref().filter(|office| office.works()) {
                office.state.end();
                office.state.drop_work();
            }
        }
        self.watch.look();
    }

    /// Let go of the session and of all that belonged to it. While work runs its guard keeps the socket open.
    pub(super) fn lose_all(&mut self) {
        let (line, opening) = (self.line.take(), self.opening.take());
        let early = (std::mem::take(&mut self.early), self.lookout.take());
        quietly(|| drop(line));
        quietly(|| drop((opening, early)));
        for election in self.memory.elections.values_mut() {
            election.shared.forget();
            election.office.take_if(|office| !office.works());
        }
        self.log.say_all(std::mem::take(&mut self.said));
    }

    /// A new state machine, that knows of what runs, of what is owed, and of what was asked for.
    pub(super) fn recall(&mut self) {
        self.note_commands();
        let heard = self.process.heard().clone();
        self.process = Process::new(self.timings.clone(), seed()).remembering(heard);
        let now = clock::now();
        let mut events = vec![];
        for (&key, election) in &self.memory.elections {
            if election.observed {
                events.push(Event::Observe { key });
            }
            let Some(candidate) = &election.candidate else {
                continue;
            };
            events.push(Event::Return {
                key,
                autopsy: candidate.autopsy,
                work: election
                    .working()
                    .map(|term| (term.number, term.leash.abort_at())),
                owed: election.owed,
            });
            if election.leaves {
                events.push(Event::Leave { key });
            }
        }
        let resigning = self.memory.resigning.iter();
        events.extend(resigning.map(|(key, _)| Event::GiveUp { key: *key }));
        if self.memory.stops {
            events.push(Event::Shutdown);
        }
        for event in events {
            self.process.handle(now, event);
        }
    }

    /// What is asked for, as far as it needs nothing but that the work has stopped.
    pub(super) fn settle_without_session(&mut self) {
        self.note_commands();
        let working = |election: &Election| election.working().is_some();
        let elections = &self.memory.elections;
        let resigning = &mut self.memory.resigning;
        for (_, told) in resigning.extract_if(.., |resigning| {
            !elections.get(&resigning.0).is_some_and(working)
        }) {
            self.hands.give(move || told.cancel());
        }
        let over: Vec<_> = elections
            .iter()
            .filter(|(_, election)| (election.leaves || self.memory.stops) && !working(election))
            .map(|(&key, _)| key)
            .collect();
        for key in over {
            self.left(key);
        }
        self.finished = self.memory.stops
            && (self.memory.elections.values()).all(|election| election.candidate.is_none());
    }

    /// They are noted, that is all: what they ask for is read from what is noted.
    fn note_commands(&mut self) {
        let _ = self.note_command();
        while let Ok(command) = self.memory.commands.try_recv() {
            self.memory.command = Some(command);
            let _ = self.note_command();
        }
    }

    /// Panic here, if that was asked for.
    #[cfg(feature = "testing")]
    pub(super) fn trip(&mut self, at: crate::testing::PanicAt) {
        if self.panic_at == Some(at) {
            self.panic_at = None;
            panic!("as was asked for, at {at:?}");
        }
    }
}

impl Election {
    /// What an operator asked for that ends this term.
    pub(super) fn asked_of(&self, term: u64) -> Option<Arc<Request>> {
        let (of, request) = self.request.as_ref()?;
        (*of == term).then(|| Arc::clone(request))
    }

    /// The term whose work has not stopped.
    pub(super) fn working(&self) -> Option<&TermState> {
        let office = self.office.as_ref().filter(|office| office.works())?;
        Some(&office.state)
    }
}
