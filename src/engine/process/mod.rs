//! Everything that one process knows of its elections, and what it does next.

mod answers;
mod due;
mod ending;
mod following;
mod hosts;
mod office;
mod publishing;
mod session;
mod tries;

use std::collections::{BTreeMap, VecDeque};

use self::hosts::Hosts;
use self::session::Session;
use super::candidacy::{Candidacy, Owed, Work};
use super::jitter::Jitter;
use super::{Action, Desks, Ending, Event, Heard, Instant, Key, Timings, WaitingFor};

/// The state machine. See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    timings: Timings,
    jitter: Jitter,
    session: Session,
    candidacies: BTreeMap<Key, Candidacy>,
    /// Kept for the life of the elector, whether it is a candidate or not.
    heard: BTreeMap<Key, Heard>,
    hosts: Hosts,
    observes: bool,
    stopping: bool,
    desks: Desks,
    actions: VecDeque<Action>,
}

impl Process {
    /// A process without elections, that connects at once. `seed` is for jitter.
    pub(crate) fn new(timings: Timings, seed: u64) -> Self {
        Process {
            timings,
            jitter: Jitter::new(seed),
            session: Session::Down {
                connect_at: Instant::default(),
                failures: 0,
            },
            candidacies: BTreeMap::new(),
            heard: BTreeMap::new(),
            hosts: Hosts::default(),
            observes: false,
            stopping: false,
            desks: Desks::default(),
            actions: VecDeque::new(),
        }
    }

    /// The same, with what was heard of before.
    pub(crate) fn remembering(mut self, heard: BTreeMap<Key, Heard>) -> Self {
        self.heard = heard;
        self
    }

    /// The greatest term that was read of, by election: from answers of sessions alone, never from notifications.
    pub(crate) fn heard(&self) -> &BTreeMap<Key, Heard> {
        &self.heard
    }

    fn heard_of(&self, key: Key) -> Heard {
        self.heard.get(&key).copied().unwrap_or_default()
    }

    fn hear(&mut self, key: Key, heard: Heard) {
        if heard.term > self.heard_of(key).term {
            self.heard.insert(key, heard);
        }
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Until when the terms of this session are current, if nothing else is answered.
    pub(crate) fn current_until(&self) -> Option<Instant> {
        match &self.session {
            Session::Up(up) => Some(up.contact + self.timings.deposed),
            _ => None,
        }
    }

    /// Take note of an event. Time never goes back.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) {
        let first = self.actions.len();
        self.expire(now);
        match event {
            Event::Timer => {}
            Event::Connected => self.connected(now),
            Event::Disconnected => self.disconnected(now),
            Event::NotOpened { schema } => {
                self.desks.trouble = schema.then_some(WaitingFor::Schema);
                self.disconnected(now);
            }
            Event::Answered { sent, answer, rows } => {
                self.note_rows(now, rows, &answer);
                self.answered(now, sent, answer);
            }
            Event::Looked {
                contested,
                higher,
                held,
                clear,
            } => {
                self.looked(contested, held, clear);
                if higher {
                    self.lose_session(now, "another host comes before this one");
                }
            }
            Event::Hint { keys } => {
                for key in keys {
                    self.hinted(now, key);
                }
            }
            Event::WorkStopped { key, term, stop } => self.work_stopped(now, key, term, stop),
            Event::Join { key, autopsy } => self.enlist(now, key, Candidacy::new(autopsy, now)),
            Event::Return {
                key,
                autopsy,
                work,
                owed,
            } => self.come_back(now, key, autopsy, work, owed),
            Event::Observe { key } => self.observe(now, key),
            Event::Unobserve { key } => self.unobserve(key),
            Event::Ready { key, term } => self.ready(now, key, term),
            Event::Failed { key, term } => self.end(now, key, term, Ending::Failed),
            Event::Resign { key, term } => self.end(now, key, term, Ending::Resigned),
            Event::GiveUp { key } => self.give_up(now, key),
            Event::Leave { key } => self.leave(now, key),
            Event::Shutdown => {
                self.stopping = true;
                for key in self.keys() {
                    self.leave(now, key);
                }
            }
        }
        self.advance(now);
        self.tell_the_resigning();
        self.hosts.look_over();
        self.publish(now, first);
    }

    fn enlist(&mut self, now: Instant, key: Key, candidacy: Candidacy) {
        self.desks.desks.entry(key).or_default();
        self.candidacies.insert(key, candidacy);
        if self.up().is_some() {
            self.join(now, key);
        }
    }

    fn come_back(
        &mut self,
        now: Instant,
        key: Key,
        autopsy: bool,
        work: Option<(u64, Instant)>,
        owed: Option<(u64, Ending)>,
    ) {
        let work = work.map(|(term, abort_at)| Work {
            cancelled: true,
            drop_at: now,
            abort_at,
            ..Work::new(term)
        });
        let owed = owed.map(|(term, ending)| Owed::new(term, ending, now));
        self.enlist(now, key, Candidacy::returned(autopsy, now, work, owed));
    }

    fn observe(&mut self, now: Instant, key: Key) {
        self.desks.desks.entry(key).or_default().observed = true;
        self.observes = true;
        self.read(now);
    }

    fn unobserve(&mut self, key: Key) {
        if let Some(desk) = self.desks.desks.get_mut(&key) {
            desk.observed = false;
        }
        self.desks.clear(key, self.candidacies.contains_key(&key));
        self.observes = self.desks.observes();
    }

    fn keys(&self) -> Vec<Key> {
        self.candidacies.keys().copied().collect()
    }

    fn holds_any(&self) -> bool {
        self.candidacies
            .values()
            .any(|c| c.holds_leadership() || c.is_successor())
    }

    fn advance(&mut self, now: Instant) {
        self.stop_work(now);
        self.settle(now);
        if matches!(self.session, Session::Up(_)) {
            self.look_around(now);
            self.campaign(now);
            self.heartbeat(now);
        }
        for key in self.keys() {
            self.take_leave(now, key);
            self.look_for_the_backend(now, key);
            self.take_office(now, key);
        }
        if let Session::Down { failures, .. } = self.session
            && now >= self.session.connect_due()
            && !self.is_done()
        {
            self.session = Session::Connecting { failures };
            self.actions.push_back(Action::Connect);
        }
        if self.is_done() && self.session != Session::Finished {
            self.session = Session::Finished;
            self.actions.push_back(Action::Finish);
        }
    }

    fn is_done(&self) -> bool {
        self.stopping && self.candidacies.is_empty()
    }
}
