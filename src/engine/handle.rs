//! The engine: the rules, and what they need of names, ids, handles and answers.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::desk::{Desk, Desks, Resigning};
use super::lookout::Lookout;
use super::{
    Answer, Candidature, Event, Input, Instant, Key, Muddle, Notice, Notification, Output, Process,
    Query, Reply, Setup, Stop, Surroundings,
};

/// Everything that a process decides. Whoever drives it does what comes out, in its order, and brings in what happens.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(super) setup: Arc<Setup>,
    pub(super) rules: Process,
    pub(super) desks: Desks,
    pub(super) lookout: Lookout,
    /// Who this process is to the database, once there was a session.
    pub(super) instance: Option<Arc<str>>,
    /// The backend of this session.
    pub(super) pid: Option<i32>,
    /// Oldest first: an answer is to the oldest.
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) out: VecDeque<Output>,
    pub(super) batch: Batch,
    /// What one input gives to say. All that is to be done goes before it.
    pub(super) said: Vec<Notice>,
    /// Until when the terms of this session were last said to be current.
    pub(super) extended: Option<Instant>,
    /// Why there is no session.
    trouble: Option<Arc<str>>,
    pub(super) stops: bool,
    /// An input is taken in. Where it is never done, the rules have panicked half-way.
    pub(super) busy: bool,
    /// The rules have looked at the clock for this input.
    pub(super) looked: bool,
    pub(super) failures: Failures,
    /// After so many more steps the rules panic.
    #[cfg(any(test, feature = "testing"))]
    pub(super) breaks_in: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) sent: Instant,
    pub(super) query: Query,
}

/// Of what drives this, in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u32,
    pub(super) last: Instant,
}

impl Engine {
    /// An engine without elections, that connects at once. `seed` is for jitter; with 0 there is none.
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        Engine {
            rules: Process::new(setup.timings.clone(), seed).aborting(setup.aborts),
            setup: Arc::new(setup),
            desks: Desks::default(),
            lookout: Lookout::new(seed),
            instance: None,
            pid: None,
            in_flight: VecDeque::new(),
            out: VecDeque::new(),
            batch: Batch::default(),
            said: vec![],
            extended: None,
            trouble: None,
            stops: false,
            busy: false,
            looked: false,
            failures: Failures::default(),
            #[cfg(any(test, feature = "testing"))]
            breaks_in: None,
        }
    }

    /// The next thing to do, until there is none; before the next input.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When the time must come in at the latest.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.rules.deadline().min(self.look_due())
    }

    /// How often the time must come in whatever is due: timers stand still while the machine is suspended, deadlines do
    /// not.
    pub(crate) fn look_every(&self) -> Duration {
        self.rules.look_every()
    }

    /// How often in a row whatever drives this has failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.count
    }

    /// How much is kept of elections, beside what was heard of their terms.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.desks.desks.len() + self.rules.kept()
    }

    /// Take note of what happened. Time never goes back.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        // The rules have panicked half-way.
        if std::mem::replace(&mut self.busy, true) {
            self.rebuild(now);
        }
        self.looked = false;
        self.take(now, input);
        // What is over is over, whatever came.
        if !self.looked {
            self.event(now, Event::Timer);
        }
        self.look(now);
        let said = self.said.drain(..).map(Output::Tell);
        self.out.extend(said);
        self.busy = false;
    }

    /// What a handle asks for is noted, complete, before anything is made of it: it outlives rules that panic.
    fn take(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timer => self.event(now, Event::Timer),
            Input::Restarted { running } => self.restart(now, &running),
            Input::Join { key, candidature } => self.join(now, key, candidature),
            Input::Observe { key, election } => {
                self.desks.open(key, &election).observed = true;
                self.event(now, Event::Observe { key });
            }
            Input::Unobserve { key } => self.unobserve(now, key),
            Input::Ready { key, term } => self.event(now, Event::Ready { key, term }),
            Input::Fail { key, term } => self.event(now, Event::Failed { key, term }),
            Input::EndedByItself { key, term } => {
                self.event(now, Event::EndedByItself { key, term });
            }
            Input::Resign { key, term } => self.event(now, Event::Resign { key, term }),
            Input::GiveUp { key, candidacy } => self.give_up(now, key, candidacy),
            Input::Leave { key, candidacy } => self.leave(now, key, candidacy),
            Input::Shutdown => {
                self.stops = true;
                self.event(now, Event::Shutdown);
            }
            Input::Opened {
                pid,
                direct,
                instance,
                hosts,
            } => self.opened(now, pid, direct, instance, hosts),
            Input::NotOpened {
                why,
                schema,
                outage,
            } => self.not_opened(now, why, schema, outage),
            Input::Answered(answer) => self.answered(now, answer),
            Input::Refused { why } => self.refused(now, why),
            Input::Lost { why } => self.lost(now, why),
            Input::Notified(notifications) => self.notified(now, &notifications),
            Input::Looked { survey, late } => self.looked(now, survey.as_ref(), late),
            Input::Stopped { key, term, stop } => self.stopped(now, key, term, stop),
        }
    }

    fn join(&mut self, now: Instant, key: Key, candidature: Candidature) {
        let (autopsy, graceful) = (candidature.autopsy, candidature.graceful);
        let desk = self.desks.open(key, &candidature.election);
        desk.candidature = Some(candidature);
        self.event(
            now,
            Event::Join {
                key,
                autopsy,
                graceful,
            },
        );
    }

    fn unobserve(&mut self, now: Instant, key: Key) {
        if let Some(desk) = self.desks.get_mut(key) {
            desk.observed = false;
        }
        self.desks.close(key);
        self.event(now, Event::Unobserve { key });
    }

    /// A handle outlives its candidacy: what was given up with that one is given up.
    fn give_up(&mut self, now: Instant, key: Key, candidacy: u64) {
        let desk = self.desks.get_mut(key);
        let Some(desk) = desk.filter(|desk| desk.is_candidacy(candidacy)) else {
            let term = None;
            return self.out.push_back(Output::Resigned {
                key,
                candidacy,
                term,
            });
        };
        let term = self.rules.term(key);
        desk.resigning.get_or_insert(Resigning { term });
        self.event(now, Event::GiveUp { key });
    }

    fn leave(&mut self, now: Instant, key: Key, candidacy: u64) {
        let desk = self.desks.get_mut(key);
        if let Some(desk) = desk.filter(|desk| desk.is_candidacy(candidacy)) {
            desk.leaves = true;
            self.event(now, Event::Leave { key });
        }
    }

    fn stopped(&mut self, now: Instant, key: Key, term: u64, stop: Stop) {
        let desk = self.desks.get_mut(key);
        let ran = desk.and_then(|desk| desk.running.take_if(|running| *running == term));
        self.event(now, Event::WorkStopped { key, term, stop });
        if ran.is_some() && stop == Stop::Stranded {
            self.stranded(now, key);
        }
    }

    /// A candidacy that can never work leaves, for all others: each of its terms would be begun in vain.
    fn stranded(&mut self, now: Instant, key: Key) {
        let candidate = |desk: &&mut Desk| desk.candidature.is_some();
        if let Some(desk) = self.desks.get_mut(key).filter(candidate) {
            if !desk.leaves && !self.stops {
                self.said.push(Notice::Stranded { key });
            }
            desk.leaves = true;
            self.event(now, Event::Leave { key });
        }
    }

    fn opened(
        &mut self,
        now: Instant,
        pid: i32,
        direct: bool,
        instance: Arc<str>,
        hosts: Option<Surroundings>,
    ) {
        if let Some(hosts) = hosts {
            self.arrived(now, hosts);
        }
        self.pid = Some(pid);
        self.instance = Some(instance);
        self.trouble = None;
        self.said.push(Notice::Connected { pid, direct });
        self.event(now, Event::Connected);
    }

    fn lost(&mut self, now: Instant, why: Option<Arc<str>>) {
        if self.pid.is_some() {
            self.said.push(Notice::SessionEnded { why });
            self.event(now, Event::Disconnected);
        }
    }

    /// Whoever waits for the first session is told at once that there is none.
    fn not_opened(&mut self, now: Instant, why: Arc<str>, schema: bool, outage: bool) {
        if self.setup.fails_fast && self.instance.is_none() {
            let refused = true;
            return self.out.push_back(Output::Finished { refused });
        }
        let again = self.trouble.as_ref() == Some(&why);
        self.trouble = Some(Arc::clone(&why));
        self.said.push(Notice::NoSession { why, again });
        self.event(now, Event::NotOpened { schema, outage });
    }

    fn answered(&mut self, now: Instant, answer: Answer) {
        let Some(InFlight { sent, query }) = self.in_flight.pop_front() else {
            return;
        };
        match self.desks.brought(&query, answer) {
            Some(brought) => {
                self.said.extend(brought.said);
                let answered = Event::Answered {
                    sent,
                    reply: brought.reply,
                    rows: brought.rows,
                    refused: brought.refused,
                    unreached: brought.unreached,
                };
                self.event(now, answered);
            }
            None => self.hang_up(now, Notice::Muddled(Muddle::NoFit)),
        }
    }

    /// A hint that could not be given costs nothing but time. Whatever else is refused ends the session: that frees its
    /// locks and leaves one way back.
    fn refused(&mut self, now: Instant, why: Arc<str>) {
        let Some(InFlight { sent, query }) = self.in_flight.pop_front() else {
            return;
        };
        if !query.may_fail() {
            return self.hang_up(now, Notice::GivenUp { why });
        }
        let reply = match query {
            Query::Announce { keys } => Reply::NotAnnounced { keys, why },
            _ => Reply::Done,
        };
        let answered = Event::Answered {
            sent,
            reply,
            rows: vec![],
            refused: vec![],
            unreached: vec![],
        };
        self.event(now, answered);
    }

    fn hang_up(&mut self, now: Instant, why: Notice) {
        self.said.push(why);
        self.event(now, Event::Disconnected);
    }

    /// Its own tell it nothing, and once all elections are named the rest of a flood tells nothing new.
    fn notified(&mut self, now: Instant, notifications: &[Notification]) {
        let mut keys = std::collections::BTreeSet::new();
        for notification in notifications {
            if keys.len() == self.desks.desks.len() {
                break;
            }
            if Some(notification.pid) != self.pid {
                keys.extend(self.desks.named(&notification.election));
            }
        }
        if !keys.is_empty() {
            let keys = keys.into_iter().collect();
            self.event(now, Event::Hint { keys });
        }
    }
}

/// What only names or times something does not tell states apart, nor does what is over once an input is handled.
impl Hash for Engine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rules.hash(state);
        self.desks.hash(state);
        self.lookout.hash(state);
        for in_flight in &self.in_flight {
            in_flight.query.hash(state);
        }
        self.instance.is_some().hash(state);
        self.stops.hash(state);
        self.failures.count.hash(state);
    }
}
