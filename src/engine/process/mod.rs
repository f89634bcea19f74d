//! Everything that one process knows of its elections, and what it does next.

mod answers;
mod contenders;
mod due;
mod ending;
mod eviction;
mod following;
mod hosts;
mod leaving;
mod notifications;
mod office;
mod phase;
mod publishing;
mod refusals;
mod seen_hosts;
mod session;
mod slices;
mod strangers;
mod tries;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::contenders::{Contenders, Due, Role};
use self::phase::Phase;
use self::seen_hosts::Hosts;
use super::candidacy::{Contender, Owed, Place, Work};
use super::jitter::Jitter;
use super::{Action, Displays, Ending, Event, Heard, Instant, Key, Timings};

/// The state machine. See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    timings: Timings,
    /// Work that outlives its lease ends the process.
    aborts: bool,
    jitter: Jitter,
    session: Phase,
    candidacies: Contenders,
    /// Kept for the life of the elector, whether it is a candidate or not.
    heard: BTreeMap<Key, Heard>,
    hosts: Hosts,
    observes: bool,
    stopping: bool,
    displays: Displays,
    actions: VecDeque<Action>,
}

impl Process {
    /// A process without elections, that connects at once. `seed` is for jitter.
    pub(crate) fn new(timings: Timings, seed: u64) -> Self {
        Process {
            timings,
            aborts: false,
            jitter: Jitter::new(seed),
            session: Phase::Down {
                connect_at: Instant::default(),
                failures: 0,
            },
            candidacies: Contenders::default(),
            heard: BTreeMap::new(),
            hosts: Hosts::default(),
            observes: false,
            stopping: false,
            displays: Displays::default(),
            actions: VecDeque::new(),
        }
    }

    /// The same, and whether work that outlives its lease ends the process.
    pub(crate) fn aborting(mut self, aborts: bool) -> Self {
        self.aborts = aborts;
        self
    }

    /// Rules without elections that have heard what these have.
    pub(crate) fn renewed(&self) -> Process {
        Process {
            heard: self.heard.clone(),
            jitter: self.jitter.clone(),
            ..Process::new(self.timings.clone(), 0).aborting(self.aborts)
        }
    }

    /// The term that is led here, or ends in order.
    pub(crate) fn term(&self, key: Key) -> Option<u64> {
        self.candidacies.get(key)?.term()
    }

    /// Until when the work of this election was current, or is; now, where nothing of it is known.
    pub(crate) fn lasts_until(&self, now: Instant, key: Key) -> Instant {
        let work = self.candidacies.get(key).and_then(|c| c.work.as_ref());
        let lost = work.filter(|work| work.leash.is_lost(now));
        let lost = lost.map(|work| work.leash.deadline());
        lost.or(self.current_until()).unwrap_or(now)
    }

    /// The greatest term that was read of, by election: from answers of sessions alone, never from notifications.
    #[cfg(test)]
    pub(crate) fn heard(&self) -> &BTreeMap<Key, Heard> {
        &self.heard
    }

    /// How much is kept of elections, beside what was heard of their terms.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.candidacies.keys().len() + self.displays.kept() + self.hosts.held.len()
    }

    fn heard_of(&self, key: Key) -> Heard {
        self.heard.get(&key).copied().unwrap_or_default()
    }

    fn hear(&mut self, key: Key, heard: Heard) {
        if heard.term > self.heard_of(key).term {
            self.heard.insert(key, heard);
            self.displays.touch(key);
        }
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Until when the terms of this session are current, if nothing else is answered.
    pub(crate) fn current_until(&self) -> Option<Instant> {
        match &self.session {
            Phase::Up(up) => Some(up.contact + self.timings.deposed),
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
            Event::Disconnected => self.disconnected(now, "the session ended"),
            Event::Restarted => self.restarted(now),
            Event::Hopeless => self.lose_hope(now),
            Event::NotOpened { schema, outage } => self.none_opened(now, schema, outage),
            Event::Answered {
                sent,
                reply,
                rows,
                refused,
                unreached,
            } => {
                self.note_rows(now, rows, &reply);
                self.answered(now, sent, reply, refused, unreached);
            }
            Event::Looked {
                contested,
                higher,
                held,
                clear,
                ends,
            } => {
                self.looked(contested, held, clear);
                if higher {
                    self.lose_session(now, "another host comes before this one");
                }
                if ends {
                    self.look_ended(now);
                }
            }
            Event::Hint { keys } => keys.into_iter().for_each(|key| self.hinted(now, key)),
            Event::WorkStopped { key, term, stop } => self.work_stopped(now, key, term, stop),
            Event::NeverJoined { keys, sent } => self.never_joined(&keys, sent),
            Event::Join {
                key,
                autopsy,
                graceful,
            } => self.enlist(key, Contender::new(autopsy, graceful, now)),
            Event::Return {
                key,
                autopsy,
                graceful,
                work,
                owed,
            } => {
                let contender = Contender::new(autopsy, graceful, now);
                self.come_back(now, key, contender, work, owed);
            }
            Event::Observe { key } => self.observe(key),
            Event::Unobserve { key } => self.unobserve(key),
            Event::Ready { key, term } => self.ready(key, term),
            Event::EndedByItself { key, term } => self.ended_by_itself(now, key, term),
            Event::Failed { key, term } => self.end(now, key, term, Ending::Failed),
            Event::Resign { key, term } => self.end(now, key, term, Ending::Resigned),
            Event::GiveUp { key } => self.give_up(now, key),
            Event::Leave { key } => self.leave(now, key),
            Event::Shutdown => {
                self.stopping = true;
                for key in self.candidacies.keys() {
                    self.leave(now, key);
                }
            }
        }
        self.follow_up(now, first);
    }

    /// What an event makes due. `first`: the first action of this event.
    fn follow_up(&mut self, now: Instant, first: usize) {
        // A term that began too late to be worked on is over as well.
        self.expire(now);
        self.advance(now);
        self.tell_the_resigning();
        self.hosts.look_over();
        self.publish(now, first);
        self.candidacies
            .settled(|contender, what| contender.due(what));
    }

    fn enlist(&mut self, key: Key, candidacy: Contender) {
        self.displays.show(key);
        let place = match self.session {
            Phase::Up(_) => Place::Joining,
            _ => Place::Absent,
        };
        self.candidacies
            .insert(key, Contender { place, ..candidacy });
    }

    fn come_back(
        &mut self,
        now: Instant,
        key: Key,
        contender: Contender,
        work: Option<(u64, Instant)>,
        owed: Option<(u64, Ending)>,
    ) {
        let work = work.map(|(term, until)| {
            let mut leash = self.timings.leash();
            leash.end(now, Duration::ZERO);
            leash.lose(until);
            Work {
                cancelled: true,
                ..Work::new(term, leash)
            }
        });
        let owed = owed.map(|(term, ending)| Owed::new(term, ending, now));
        let contender = Contender {
            work,
            owed,
            ..contender
        };
        self.enlist(key, contender);
    }

    fn observe(&mut self, key: Key) {
        self.displays.show(key).observed = true;
        self.observes = true;
        self.read(key);
    }

    fn unobserve(&mut self, key: Key) {
        if let Some(display) = self.displays.get_mut(key) {
            display.observed = false;
        }
        self.displays.clear(key, self.candidacies.contains(key));
        self.observes = self.displays.observes();
    }

    fn holds_any(&self) -> bool {
        self.candidacies.any(Role::Holder) || self.candidacies.any(Role::Successor)
    }

    fn advance(&mut self, now: Instant) {
        self.stop_work(now);
        self.look_around(now);
        let mut over = self.candidacies.touched();
        over.extend(self.due(now, Due::GiveUp));
        for key in over {
            self.take_leave(now, key);
        }
        self.ask(now);
        self.forget_the_left(now);
        if let Phase::Down { failures, .. } = self.session
            && now >= self.session.connect_due()
            && !self.is_done()
        {
            self.session = Phase::Connecting { failures };
            self.actions.push_back(Action::Connect);
        }
        if self.is_done() && self.session != Phase::Finished {
            self.session = Phase::Finished;
            self.actions.push_back(Action::Finish);
        }
    }

    fn is_done(&self) -> bool {
        self.stopping && self.candidacies.is_empty()
    }
}
