//! What the engine wants done.

use std::sync::Arc;

use super::{Driver, Live};
use crate::clock;
use crate::engine::{Input, Key, Output};
use crate::session::Command;
use crate::session::door::{Door, Session};
use crate::term::Term;
#[cfg(feature = "testing")]
use crate::testing::PanicAt;
use crate::work::term_state::TermState;
use crate::work::{Guard, Tell, lead};

impl<D: Door> Driver<D> {
    /// Take something to the engine, and do what comes out.
    pub(super) fn handle(&mut self, input: Input) {
        self.engine.handle(clock::now(), input);
        while let Some(output) = self.engine.poll() {
            self.perform(output);
            #[cfg(feature = "testing")]
            self.trip(PanicAt::Action);
        }
        self.log.say_all(std::mem::take(&mut self.said));
        self.board.forget();
        if std::mem::take(&mut self.overtaken) {
            let why = Some("its terms were seen to end".into());
            self.handle(Input::Lost { why });
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Extend { until } => {
                let line = self.line.as_ref();
                self.overtaken = line.is_some_and(|line| !line.leash.extend(until));
            }
            Output::Begin { key, term, token } => self.begin(key, term, token),
            Output::Publish { key, published } => self.board.publish(key, published),
            Output::Start { key, .. } => self.start(key),
            Output::Cancel { key } => self.with_term(key, TermState::end),
            Output::Drop { key } => self.with_term(key, TermState::drop_work),
            // Its watch does this too, and needs no driver.
            Output::Abort => self.watch.end_process(),
            Output::Look { elections } => self.surveyor.look(elections),
            Output::Open {
                instance,
                first,
                search,
            } => {
                self.opening = Some(self.door.open(instance, first, search));
            }
            Output::Send(request) => {
                if let Some(line) = &mut self.line {
                    line.session.send(request);
                }
            }
            Output::LetGo => self.let_go(),
            Output::Goodbye => self.end_session(Session::goodbye),
            Output::Resigned {
                key,
                candidacy,
                term,
            } => {
                for told in self.board.resigned(key, candidacy, term.is_some()) {
                    self.hands.wake(move || told.cancel());
                }
            }
            Output::Left { key } => {
                if let Some(candidate) = self.board.left(key) {
                    let left = candidate.left.clone();
                    self.hands.wake(move || left.cancel());
                    self.hands.discard(candidate);
                }
            }
            Output::Finished { refused } => self.finish(refused),
            Output::Tell(notice) => self.said.push(self.board.entry(&notice)),
        }
    }

    /// While work runs its guard keeps the socket open.
    pub(super) fn let_go(&mut self) {
        self.end_session(Session::let_go);
    }

    fn end_session(&mut self, end: impl FnOnce(D::Session)) {
        self.surveyor.rest();
        if let Some(Live { session, leash }) = self.line.take() {
            leash.end();
            end(session);
        }
    }

    fn with_term(&self, key: Key, act: impl FnOnce(&TermState)) {
        if let Some(state) = self.board.term(key) {
            act(state);
            self.watch.look();
        }
    }

    /// Make what the work and the handles of a term share.
    fn begin(&mut self, key: Key, number: u64, token: Arc<str>) {
        let (Some(line), Some(election)) = (&self.line, self.board.get(key)) else {
            return;
        };
        let candidate = election.candidate.as_ref();
        let state = TermState::new(
            &election.name,
            number,
            token,
            &line.leash,
            line.session.socket(),
            &self.watch.hands,
            candidate.is_some_and(|candidate| candidate.graceful),
        );
        self.board.begin(key, state);
    }

    fn start(&mut self, key: Key) {
        let (Some(line), Some(election)) = (&self.line, self.board.get(key)) else {
            return;
        };
        let (Some(state), Some(candidate)) = (self.board.term(key), &election.candidate) else {
            return;
        };
        let state = Arc::clone(state);
        let sender = self.sender.clone();
        let tell: Tell = Arc::new(move |input| drop(sender.send(Command::OfWork(input))));
        // Made first: whatever becomes of the work from here on, its guard says when nothing of it runs.
        let guard = Guard::new(
            Arc::clone(&state),
            key,
            Arc::clone(&tell),
            Arc::clone(&self.watch),
            candidate.runtime.clone(),
            Arc::clone(line.session.socket()),
        );
        let term = Term {
            election: Arc::clone(&election.name),
            address: Arc::clone(&candidate.address),
            key,
            state: Arc::clone(&state),
            tell,
            work: Arc::downgrade(&guard),
        };
        let work = candidate.lead.clone();
        self.board.started(key);
        self.watch.add(&state);
        #[cfg(feature = "testing")]
        self.trip(PanicAt::Start);
        // A runtime that is shut down drops it on the spot; nothing of that is the application's.
        lead::start(guard, work, term);
    }

    fn finish(&mut self, refused: bool) {
        self.finished = true;
        let first = self.first.take_if(|_| refused);
        // Its cause may be the application's.
        if let Some(error) = self.refusal.take() {
            self.hands
                .give(move || drop(first.map(|first| first.send(Err(error)))));
        }
    }
}
