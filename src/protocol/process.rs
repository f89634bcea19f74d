//! Everything that one process knows of its elections, and what it does next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::candidacy::{Candidacy, Following, Owed, Place, Waiting, Work};
use super::jitter::Jitter;
use super::watch::Watch;
use super::{
    Action, Answer, Ending, Event, Held, Instant, Key, Notice, Office, Query, Stop, Timings, Try,
    View, Won,
};

/// The state machine. See the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    timings: Timings,
    jitter: Jitter,
    session: Session,
    candidacies: BTreeMap<Key, Candidacy>,
    observes: bool,
    stopping: bool,
    actions: VecDeque<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Session {
    Down { connect_at: Instant, failures: u32 },
    Connecting { failures: u32 },
    Up(Up),
    Finished,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Up {
    since: Instant,
    failures: u32,
    /// The sending of the last query that was answered.
    contact: Instant,
    /// The sendings of the queries that were not yet answered.
    in_flight: VecDeque<Instant>,
    last_sent: Instant,
    heartbeat_at: Instant,
    heartbeats: u32,
    hinted: bool,
    retry_at: Instant,
    probe_at: Instant,
    campaigning: bool,
    reading: bool,
    read_again: bool,
}

/// The first reconnection after a failure comes within so long; each further one within twice as long.
const BACKOFF: Duration = Duration::from_millis(50);

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
            observes: false,
            stopping: false,
            actions: VecDeque::new(),
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
        self.expire(now);
        match event {
            Event::Timer => {}
            Event::Connected => self.connected(now),
            Event::Disconnected => self.disconnected(now),
            Event::Answered { sent, answer } => self.answered(now, sent, answer),
            Event::Hint { keys } => {
                for key in keys {
                    self.hinted(now, key);
                }
            }
            Event::WorkStopped { key, term, stop } => self.work_stopped(now, key, term, stop),
            Event::Join { key, autopsy } => {
                self.candidacies.insert(key, Candidacy::new(autopsy, now));
                if self.up().is_some() {
                    self.join(now, key);
                }
            }
            Event::Observe { any } => {
                self.observes = any;
                if any {
                    self.read(now);
                }
            }
            Event::Ready { key, term } => self.ready(now, key, term),
            Event::Resign { key, term } => self.end(now, key, term, Ending::Resigned),
            Event::Leave { key } => self.leave(now, key),
            Event::Shutdown => {
                self.stopping = true;
                for key in self.keys() {
                    self.leave(now, key);
                }
            }
        }
        self.advance(now);
    }

    // The session ---------------------------------------------------------------------------------

    fn up(&mut self) -> Option<&mut Up> {
        match &mut self.session {
            Session::Up(up) => Some(up),
            _ => None,
        }
    }

    fn send(&mut self, now: Instant, query: Query) {
        if let Session::Up(up) = &mut self.session {
            up.in_flight.push_back(now);
            up.last_sent = now;
            self.actions.push_back(Action::Send { sent: now, query });
        }
    }

    fn connected(&mut self, now: Instant) {
        let Session::Connecting { failures } = self.session else {
            return;
        };
        self.session = Session::Up(Up {
            since: now,
            failures,
            contact: now,
            in_flight: VecDeque::new(),
            last_sent: now,
            heartbeat_at: now,
            heartbeats: 0,
            hinted: false,
            retry_at: now + self.jitter.around(self.timings.retry_interval),
            probe_at: Instant::NEVER,
            campaigning: false,
            reading: false,
            read_again: false,
        });
        self.settle(now);
        for key in self.keys() {
            if self.candidacies[&key].leave_by.is_none() {
                self.join(now, key);
            }
        }
        if self.observes {
            self.read(now);
        }
    }

    fn disconnected(&mut self, now: Instant) {
        match self.session {
            Session::Connecting { failures } => self.reconnect(now, failures + 1),
            Session::Up(_) => self.lose_session(now, "the session ended"),
            Session::Down { .. } | Session::Finished => {}
        }
    }

    /// Full jitter: any delay up to a bound that doubles with each failure.
    fn reconnect(&mut self, now: Instant, failures: u32) {
        let bound = BACKOFF * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
        let delay = match failures {
            0 => Duration::ZERO,
            _ => self.jitter.up_to(bound.min(self.timings.retry_interval)),
        };
        self.session = Session::Down {
            connect_at: now + delay,
            failures,
        };
    }

    /// Deposed, for good, when no query was answered for too long. Called before any event is looked at,
    /// so that an answer that comes later changes nothing (invariant 1).
    fn expire(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        let leads = self.candidacies.values().any(|c| c.term().is_some());
        let overdue = up
            .in_flight
            .front()
            .is_some_and(|sent| now >= *sent + self.timings.query_limit());
        if leads && now >= up.contact + self.timings.deposed {
            self.lose_session(now, "no heartbeat was answered in time");
        } else if overdue {
            self.lose_session(now, "a query was not answered in time");
        }
    }

    fn lose_session(&mut self, now: Instant, why: &'static str) {
        let Session::Up(up) = &self.session else {
            return;
        };
        let contact = up.contact;
        let lasted = now.since(up.since) >= self.timings.lease;
        let failures = if lasted { 0 } else { up.failures + 1 };
        self.actions.push_back(Action::Abandon);
        for (&key, candidacy) in &mut self.candidacies {
            let place = std::mem::replace(&mut candidacy.place, Place::Absent);
            let ended = match place {
                Place::Leading { term } => Some((term, Ending::Deposed)),
                Place::Ending { term, ending } => Some((term, ending)),
                _ => None,
            };
            if let Some((term, ending)) = ended {
                candidacy.owed = Some(Owed {
                    term,
                    ending,
                    asked: false,
                    ask_at: now,
                });
                self.actions
                    .push_back(Action::Tell(Notice::Deposed { key, term, why }));
            } else if let Some(owed) = &mut candidacy.owed {
                owed.asked = false;
            }
            if let Some(work) = &mut candidacy.work
                && work.abort_at == Instant::NEVER
            {
                if !work.cancelled {
                    work.cancelled = true;
                    self.actions.push_back(Action::Cancel { key });
                }
                work.drop_at = work.drop_at.min(contact + self.timings.dropped);
                work.abort_at = contact + self.timings.aborted;
            }
        }
        self.reconnect(now, failures);
    }

    // Answers -------------------------------------------------------------------------------------

    fn answered(&mut self, now: Instant, sent: Instant, answer: Answer) {
        let Session::Up(up) = &mut self.session else {
            return;
        };
        if let Some(index) = up.in_flight.iter().position(|in_flight| *in_flight == sent) {
            up.in_flight.remove(index);
        }
        up.contact = up.contact.max(sent);
        match answer {
            Answer::Done => {}
            Answer::Joined { key } => {
                if let Some(candidacy) = self.candidacies.get_mut(&key) {
                    let following = Following {
                        probe_interval: self.timings.probe_interval(self.timings.lease),
                        ..Following::default()
                    };
                    candidacy.place = Place::Following(following);
                    candidacy.try_at = now;
                }
            }
            Answer::Campaigned { tries } => {
                up.campaigning = false;
                for (key, tried) in tries {
                    self.tried(now, sent, key, tried);
                }
            }
            Answer::Office { key, office } => self.asked_for_office(now, key, office),
            Answer::Heartbeat { step_downs } => {
                up.heartbeats = up.heartbeats.saturating_sub(1);
                for (key, term) in step_downs {
                    self.end(now, key, term, Ending::SteppedDown);
                }
            }
            Answer::Vacated { key, term, done } => self.vacated(now, key, term, done),
            Answer::Read { views } => {
                up.reading = false;
                for (key, view) in views {
                    self.viewed(now, key, view);
                }
            }
            Answer::Left { key } => {
                if let Some(candidacy) = self.candidacies.get_mut(&key) {
                    candidacy.place = Place::Leaving { told: true };
                }
            }
            Answer::BackendGone { key, gone } => {
                let patience = self.timings.probe_interval(self.timings.lease) / 25;
                let looking = self.waiting(key).map(|waiting| {
                    waiting.look_at = if gone { Instant::NEVER } else { now + patience };
                });
                if looking.is_some() && gone {
                    self.send(now, Query::Counters { key });
                }
            }
            Answer::Counters { key, counters } => {
                if let Some(waiting) = self.waiting(key)
                    && waiting.evidence.take() == Some(counters)
                {
                    waiting.stopped = true;
                    let last_term = waiting.last_term;
                    let why = "its process closed the connection";
                    self.actions.push_back(Action::Tell(Notice::Spared {
                        key,
                        last_term,
                        why,
                    }));
                }
            }
        }
    }

    fn tried(&mut self, now: Instant, sent: Instant, key: Key, tried: Try) {
        match tried {
            Try::Began { term } => self.begin(now, key, term),
            Try::Won(won) => self.wait(now, key, &won),
            Try::Fenced { last_term } => {
                let try_at = now + self.timings.probe_interval(self.timings.lease);
                self.enter(
                    now,
                    key,
                    Waiting {
                        last_term,
                        until: now,
                        stopped: true,
                        evidence: None,
                        look_at: Instant::NEVER,
                        try_at,
                        asking: false,
                        hinted: false,
                    },
                );
                self.actions.push_back(Action::Tell(Notice::Fenced { key }));
            }
            Try::Held(held) => self.found_held(now, sent, key, &held),
        }
    }

    fn found_held(&mut self, now: Instant, sent: Instant, key: Key, held: &Held) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let Place::Following(following) = &mut candidacy.place else {
            return;
        };
        let lease = held.lease.unwrap_or(self.timings.lease);
        candidacy.seen_term = held.term;
        if held.holder_pid.is_none() {
            candidacy.try_at = now + self.timings.probe_interval(lease);
        }
        let stranger = held.holder_pid.filter(|_| held.stranger);
        if candidacy.stranger != stranger {
            candidacy.stranger = stranger;
            self.actions
                .push_back(Action::Tell(Notice::Stranger { key, pid: stranger }));
        }
        following.probe_interval = self.timings.probe_interval(lease);
        following.watch = Watch::after(following.watch.take(), held, sent, now);
        let silent = following
            .watch
            .as_ref()
            .is_some_and(|watch| watch.silent_for() >= self.timings.eviction(lease));
        let evict = silent
            && held.successor
            && following
                .evicted_at
                .is_none_or(|at| now.since(at) >= lease / 4);
        if evict {
            following.evicted_at = Some(now);
        }
        let probe_at = now + following.probe_interval;
        following.successor = held.successor;
        if let Session::Up(up) = &mut self.session
            && held.successor
        {
            up.probe_at = up.probe_at.min(probe_at);
        }
        if evict {
            let term = held.term;
            self.send(now, Query::Evict { key, term });
            self.actions
                .push_back(Action::Tell(Notice::Evicting { key, term }));
        }
    }

    // Winning -------------------------------------------------------------------------------------

    fn waiting(&mut self, key: Key) -> Option<&mut Waiting> {
        match &mut self.candidacies.get_mut(&key)?.place {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    /// The lock is ours: from here the session must prove itself.
    fn enter(&mut self, now: Instant, key: Key, waiting: Waiting) {
        let first = !self.candidacies.values().any(Candidacy::holds_leadership);
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Waiting(waiting);
            candidacy.stranger = None;
        }
        let heartbeat_at = now + self.timings.heartbeat_interval;
        if let Some(up) = self.up()
            && first
        {
            up.heartbeat_at = heartbeat_at;
        }
    }

    fn wait(&mut self, now: Instant, key: Key, won: &Won) {
        let Some(candidacy) = self.candidacies.get(&key) else {
            return;
        };
        let Place::Following(following) = &candidacy.place else {
            return;
        };
        let watch = following.watch.as_ref().filter(|watch| watch.concerns(won));
        let silent =
            watch.is_some_and(|watch| watch.silent_for() >= self.timings.eviction(won.wait));
        let evidence = watch
            .filter(|_| won.direct && candidacy.autopsy && !silent)
            .map(Watch::sample);
        self.enter(
            now,
            key,
            Waiting {
                last_term: won.last_term,
                until: now + won.wait,
                stopped: silent,
                evidence,
                look_at: Instant::NEVER,
                try_at: Instant::default(),
                asking: false,
                hinted: false,
            },
        );
        let last_term = won.last_term;
        if silent {
            let why = "its session was silent for its lease";
            self.actions.push_back(Action::Tell(Notice::Spared {
                key,
                last_term,
                why,
            }));
            return;
        }
        if evidence.is_some() {
            self.send(
                now,
                Query::BackendGone {
                    key,
                    term: last_term,
                },
            );
        }
        self.send(now, Query::Announce { keys: vec![key] });
        let notice = Notice::Waiting {
            key,
            last_term,
            at_most: won.wait,
        };
        self.actions.push_back(Action::Tell(notice));
    }

    fn asked_for_office(&mut self, now: Instant, key: Key, office: Office) {
        let try_at = now + self.timings.probe_interval(self.timings.lease);
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        waiting.asking = false;
        match office {
            Office::Began { term } => self.begin(now, key, term),
            Office::Waiting => {}
            Office::Fenced => {
                // Fenced transactions end by themselves: from here only they stand in the way, or not
                // even they once the refractory period is over.
                waiting.try_at = try_at;
                waiting.hinted = !waiting.stopped;
                self.actions.push_back(Action::Tell(Notice::Fenced { key }));
            }
        }
    }

    fn begin(&mut self, now: Instant, key: Key, term: u64) {
        let first = !self.candidacies.values().any(Candidacy::holds_leadership);
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        candidacy.place = Place::Leading { term };
        candidacy.seen_term = term;
        candidacy.stranger = None;
        if let Some(up) = self.up()
            && first
        {
            up.heartbeat_at = heartbeat_at;
        }
        // The answer may have come so late that the term is over before its work began.
        self.expire(now);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.term() == Some(term) && candidacy.leave_by.is_none() {
            candidacy.work = Some(Work::new(term));
            self.actions.push_back(Action::Start { key, term });
            self.send(now, Query::Announce { keys: vec![key] });
        }
    }

    // Leading and ending --------------------------------------------------------------------------

    fn ready(&mut self, now: Instant, key: Key, term: u64) {
        let Some(candidacy) = self.candidacies.get(&key) else {
            return;
        };
        if candidacy.place == (Place::Leading { term }) {
            self.send(now, Query::Ready { key, term });
            self.send(now, Query::Announce { keys: vec![key] });
        }
    }

    /// Begin an orderly end.
    fn end(&mut self, now: Instant, key: Key, term: u64, ending: Ending) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.place != (Place::Leading { term }) {
            return;
        }
        candidacy.place = Place::Ending { term, ending };
        match &mut candidacy.work {
            Some(work) => {
                work.cancelled = true;
                work.drop_at = now + self.timings.grace;
                self.actions.push_back(Action::Cancel { key });
            }
            None => self.vacate_and_release(now, key, term, ending),
        }
    }

    fn work_stopped(&mut self, now: Instant, key: Key, term: u64, stop: Stop) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.work.as_ref().is_none_or(|work| work.term != term) {
            return;
        }
        candidacy.work = None;
        if stop == Stop::Failed {
            candidacy.hold_off = now + self.jitter.around(self.timings.retry_interval);
        } else {
            let probe_interval = self.timings.probe_interval(self.timings.lease);
            candidacy.hold_off = now + probe_interval * 2;
        }
        match candidacy.place {
            Place::Leading { term } => {
                let failed = stop == Stop::Failed;
                let ending = if failed {
                    Ending::Failed
                } else {
                    Ending::Resigned
                };
                self.vacate_and_release(now, key, term, ending);
            }
            Place::Ending { term, ending } => self.vacate_and_release(now, key, term, ending),
            _ => {}
        }
    }

    /// Vacate, *then* unlock, *then* notify; never before the work has stopped (invariant 4).
    fn vacate_and_release(&mut self, now: Instant, key: Key, term: u64, ending: Ending) {
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let following = Following {
            probe_interval: self.timings.probe_interval(self.timings.lease),
            ..Following::default()
        };
        candidacy.place = Place::Following(following);
        candidacy.owed = Some(Owed {
            term,
            ending,
            asked: true,
            ask_at: now,
        });
        candidacy.try_at = candidacy.hold_off;
        let holds_more = self.holds_any();
        self.send(now, Query::Vacate { key, term, ending });
        self.send(
            now,
            Query::Release {
                leadership: vec![key],
                succession: vec![],
                holds_more,
            },
        );
        self.send(now, Query::Announce { keys: vec![key] });
    }

    /// Vacate what earlier sessions left behind, where the work has stopped.
    fn settle(&mut self, now: Instant) {
        for key in self.keys() {
            let up = self.up().is_some();
            let Some(candidacy) = self.candidacies.get_mut(&key) else {
                continue;
            };
            if let Some(owed) = &mut candidacy.owed
                && up
                && candidacy.work.is_none()
                && !owed.asked
                && now >= owed.ask_at
            {
                owed.asked = true;
                let Owed { term, ending, .. } = *owed;
                self.send(now, Query::Vacate { key, term, ending });
                self.send(now, Query::Announce { keys: vec![key] });
            }
        }
    }

    fn vacated(&mut self, now: Instant, key: Key, term: u64, done: bool) {
        let ask_at = now + self.timings.probe_interval(self.timings.lease);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let Some(owed) = candidacy.owed.as_mut().filter(|owed| owed.term == term) else {
            return;
        };
        if done {
            let ending = owed.ending;
            candidacy.owed = None;
            self.actions
                .push_back(Action::Tell(Notice::Vacated { key, term, ending }));
        } else {
            owed.asked = false;
            owed.ask_at = ask_at;
        }
    }

    // Joining, leaving, looking -------------------------------------------------------------------

    fn join(&mut self, now: Instant, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.place = Place::Joining;
            self.send(now, Query::Join { key });
        }
    }

    fn leave(&mut self, now: Instant, key: Key) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.leave_by.get_or_insert(now + self.timings.grace);
        }
    }

    fn hinted(&mut self, now: Instant, key: Key) {
        let mut look = self.observes;
        let place = self
            .candidacies
            .get_mut(&key)
            .map(|candidacy| &mut candidacy.place);
        match place {
            Some(Place::Following(following)) if !following.successor => look = true,
            Some(Place::Following(_)) => self.try_soon(key, now),
            Some(Place::Waiting(waiting)) => waiting.hinted = true,
            Some(Place::Leading { .. }) => {
                if let Some(up) = self.up() {
                    up.hinted = true;
                }
            }
            _ => {}
        }
        if look {
            self.read(now);
        }
    }

    fn try_soon(&mut self, key: Key, at: Instant) {
        if let Some(candidacy) = self.candidacies.get_mut(&key) {
            candidacy.try_at = candidacy.try_at.min(at);
        }
    }

    /// One read outstanding at most, however many notifications come.
    fn read(&mut self, now: Instant) {
        if let Some(up) = self.up() {
            if up.reading {
                up.read_again = true;
            } else {
                up.reading = true;
                up.read_again = false;
                self.send(now, Query::Read);
            }
        }
    }

    fn viewed(&mut self, now: Instant, key: Key, view: View) {
        let probe_interval = self.timings.probe_interval(self.timings.lease);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        let news = view.term != candidacy.seen_term;
        candidacy.seen_term = view.term;
        if !candidacy.may_campaign() || candidacy.is_successor() {
            return;
        }
        // The successor comes first; then anyone. A new term leaves the successor's place free.
        if view.vacant {
            let delay = probe_interval + self.jitter.up_to(probe_interval * 4);
            self.try_soon(key, now + delay);
        } else if news {
            let delay = self.jitter.up_to(probe_interval * 10);
            self.try_soon(key, now + delay);
        }
    }

    // What is due ---------------------------------------------------------------------------------

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
        for key in self.keys() {
            self.take_leave(now, key);
            self.take_office(now, key);
        }
        match self.session {
            Session::Down {
                connect_at,
                failures,
            } if now >= connect_at && !self.is_done() => {
                self.session = Session::Connecting { failures };
                self.actions.push_back(Action::Connect);
            }
            Session::Up(_) => {
                self.look_around(now);
                self.campaign(now);
                self.heartbeat(now);
            }
            _ => {}
        }
        if self.is_done() && self.session != Session::Finished {
            self.session = Session::Finished;
            self.actions.push_back(Action::Finish);
        }
    }

    fn is_done(&self) -> bool {
        self.stopping && self.candidacies.is_empty()
    }

    fn stop_work(&mut self, now: Instant) {
        for (&key, candidacy) in &mut self.candidacies {
            let Some(work) = &mut candidacy.work else {
                continue;
            };
            let term = work.term;
            if !work.dropped && now >= work.drop_at {
                work.dropped = true;
                if work.abort_at == Instant::NEVER {
                    self.actions
                        .push_back(Action::Tell(Notice::OutOfGrace { key, term }));
                }
                self.actions.push_back(Action::Drop { key });
            }
            if !work.overran && now >= work.abort_at {
                work.overran = true;
                self.actions.push_back(Action::Overrun { key, term });
            }
        }
    }

    fn take_leave(&mut self, now: Instant, key: Key) {
        let offline = !matches!(self.session, Session::Up(_));
        let campaigning = self.up().is_some_and(|up| up.campaigning);
        let Some(candidacy) = self.candidacies.get_mut(&key) else {
            return;
        };
        if candidacy.leave_by.is_none() {
            return;
        }
        let mut leadership = vec![];
        let mut succession = vec![];
        match &candidacy.place {
            Place::Leading { term } => {
                let term = *term;
                return self.end(now, key, term, Ending::Resigned);
            }
            Place::Following(following) if !campaigning => {
                if following.successor {
                    succession.push(key);
                }
            }
            Place::Waiting(waiting) if !waiting.asking => leadership.push(key),
            Place::Absent if !offline && candidacy.work.is_none() => {}
            _ => {
                if candidacy.is_over(now, offline) {
                    self.candidacies.remove(&key);
                    self.actions.push_back(Action::Left { key });
                }
                return;
            }
        }
        candidacy.place = Place::Leaving { told: false };
        if !(leadership.is_empty() && succession.is_empty()) {
            let holds_more = self.holds_any();
            self.send(
                now,
                Query::Release {
                    leadership,
                    succession,
                    holds_more,
                },
            );
        }
        self.send(now, Query::Leave { key });
    }

    fn take_office(&mut self, now: Instant, key: Key) {
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        let last_term = waiting.last_term;
        if waiting.evidence.is_some() && now >= waiting.look_at {
            waiting.look_at = Instant::NEVER;
            self.send(
                now,
                Query::BackendGone {
                    key,
                    term: last_term,
                },
            );
        }
        let Some(waiting) = self.waiting(key) else {
            return;
        };
        if waiting.asking {
            return;
        }
        let waited = now >= waiting.take_office_at();
        if waited || (waiting.hinted && now >= waiting.try_at) {
            waiting.asking = true;
            waiting.hinted = false;
            self.send(now, Query::TakeOffice { key, waited });
        }
    }

    /// When this candidacy tries next, `NEVER` while it may not.
    fn campaign_at(&self, up: &Up, candidacy: &Candidacy) -> Instant {
        if up.campaigning || !candidacy.may_campaign() {
            return Instant::NEVER;
        }
        let probe_at = if candidacy.is_successor() {
            up.probe_at
        } else {
            Instant::NEVER
        };
        probe_at.min(candidacy.try_at).max(candidacy.hold_off)
    }

    /// One query for all elections that are due (invariant 7).
    fn campaign(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        let due: Vec<Key> = self
            .candidacies
            .iter()
            .filter(|(_, candidacy)| now >= self.campaign_at(up, candidacy))
            .map(|(&key, _)| key)
            .collect();
        if due.is_empty() {
            return;
        }
        let mut successor_of = vec![];
        for key in &due {
            if let Some(candidacy) = self.candidacies.get_mut(key) {
                candidacy.try_at = Instant::NEVER;
                if candidacy.is_successor() {
                    successor_of.push(*key);
                }
            }
        }
        let probe_interval = self.probe_interval();
        if let Some(up) = self.up() {
            up.campaigning = true;
            if now >= up.probe_at {
                up.probe_at = probe_interval.map_or(Instant::NEVER, |interval| now + interval);
            }
        }
        self.send(
            now,
            Query::Campaign {
                keys: due,
                successor_of,
            },
        );
    }

    /// The shortest of those at which this process probes as a successor.
    fn probe_interval(&self) -> Option<Duration> {
        self.candidacies
            .values()
            .filter_map(|candidacy| match &candidacy.place {
                Place::Following(following) if following.successor => {
                    Some(following.probe_interval)
                }
                _ => None,
            })
            .min()
    }

    /// Once per retry interval everybody tries; a notification that was lost is made good here.
    fn look_around(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now >= up.retry_at {
            let retry_interval = self.jitter.around(self.timings.retry_interval);
            for candidacy in self.candidacies.values_mut().filter(|c| c.may_campaign()) {
                candidacy.try_at = candidacy.try_at.min(now);
            }
            if self.observes {
                self.read(now);
            }
            if let Some(up) = self.up() {
                up.retry_at = now + retry_interval;
            }
        }
        if let Some(up) = self.up()
            && up.read_again
            && !up.reading
        {
            self.read(now);
        }
    }

    fn heartbeat_due(&self, up: &Up) -> Instant {
        if self.candidacies.values().any(Candidacy::holds_leadership) {
            let hinted = up.hinted && up.heartbeats == 0;
            if hinted {
                Instant::default()
            } else {
                up.heartbeat_at
            }
        } else if self.candidacies.values().any(Candidacy::is_successor) {
            up.last_sent + self.timings.heartbeat_interval
        } else {
            // Nothing to lose but the session itself, which the server ends when it is silent.
            up.last_sent + self.timings.retry_interval * 2
        }
    }

    fn heartbeat(&mut self, now: Instant) {
        let Session::Up(up) = &self.session else {
            return;
        };
        if now < self.heartbeat_due(up) {
            return;
        }
        let heartbeat_at = now + self.timings.heartbeat_interval;
        let keys = self
            .candidacies
            .iter()
            .filter(|(_, candidacy)| matches!(candidacy.place, Place::Leading { .. }))
            .map(|(&key, _)| key)
            .collect();
        if let Some(up) = self.up() {
            up.heartbeat_at = heartbeat_at;
            up.heartbeats += 1;
            up.hinted = false;
        }
        self.send(now, Query::Heartbeat { keys });
    }

    /// When to be woken at the latest.
    pub(crate) fn deadline(&self) -> Instant {
        let candidacies = self.candidacies.values();
        let work = candidacies.clone().flat_map(|candidacy| {
            let work = candidacy.work.as_ref();
            let drop_at = work.filter(|work| !work.dropped).map(|work| work.drop_at);
            let abort_at = work.filter(|work| !work.overran).map(|work| work.abort_at);
            [drop_at, abort_at, candidacy.give_up_at()]
        });
        let work = work.flatten().min().unwrap_or(Instant::NEVER);
        let session = match &self.session {
            Session::Down { connect_at, .. } => *connect_at,
            Session::Connecting { .. } | Session::Finished => Instant::NEVER,
            Session::Up(up) => self.session_deadline(up),
        };
        work.min(session)
    }

    fn session_deadline(&self, up: &Up) -> Instant {
        let leads = self
            .candidacies
            .values()
            .any(|candidacy| candidacy.term().is_some());
        let deposed = if leads {
            up.contact + self.timings.deposed
        } else {
            Instant::NEVER
        };
        let overdue = up
            .in_flight
            .front()
            .map_or(Instant::NEVER, |sent| *sent + self.timings.query_limit());
        let candidacies = self.candidacies.values().map(|candidacy| {
            let owed = match &candidacy.owed {
                Some(owed) if !owed.asked && candidacy.work.is_none() => owed.ask_at,
                _ => Instant::NEVER,
            };
            let office = match &candidacy.place {
                Place::Waiting(waiting) => {
                    let office = if waiting.asking {
                        Instant::NEVER
                    } else {
                        waiting.take_office_at()
                    };
                    let hinted = waiting.hinted && !waiting.asking;
                    let hinted = if hinted {
                        waiting.try_at
                    } else {
                        Instant::NEVER
                    };
                    let look = waiting.evidence.map_or(Instant::NEVER, |_| waiting.look_at);
                    office.min(hinted).min(look)
                }
                _ => Instant::NEVER,
            };
            owed.min(office).min(self.campaign_at(up, candidacy))
        });
        candidacies
            .min()
            .unwrap_or(Instant::NEVER)
            .min(deposed)
            .min(overdue)
            .min(self.heartbeat_due(up))
            .min(up.retry_at)
    }
}
