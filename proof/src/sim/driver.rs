//! What drives the state machine of a process: event in, action out. Mirrors `src/session/driver`.

use std::time::Duration;

use super::clock::{NEVER, nanos};
use super::fact::Fact;
use super::flaw::Flaw;
use super::host::{Command, Halt, Input, OBSERVED, Running};
use super::invariants::Broken;
use super::network::{End, Packet};
use super::world::{Event, World};
use crate::engine::{Action, Event as Happened, Key, Notice, Process, Query};

impl World {
    /// Something comes to a process, if it still runs. While it is halted it waits.
    pub(super) fn input(&mut self, host: usize, life: u32, input: Input) {
        if self.hosts[host].life != life {
            return;
        }
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        if running.halted.is_some() {
            running.inbox.push_back(input);
            return;
        }
        match input {
            Input::Work { key, term, step } => self.work(host, key, term, step),
            input => self.take(host, input),
        }
    }

    /// A process that runs takes what came to it to its machine.
    fn take(&mut self, host: usize, input: Input) {
        let now = self.hosts[host].now(self.now);
        let who = self.hosts[host].who(host);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        if let Input::Command(Command::WorkStopped { key, term, .. }) = &input
            && let Some(office) = running.office(*key)
            && office.term == *term
        {
            office.over = true;
        }
        // A session that ended, or whose answer was an error, is let go before anything else.
        let lost = match &input {
            Input::Ended(cid) => Some((*cid, "the session ended")),
            Input::Reply {
                cid,
                answer: Err(refusal),
                ..
            } => Some((*cid, refusal.0)),
            _ => None,
        };
        if let Some((cid, what)) = lost {
            if running.line.take_if(|line| line.cid == cid).is_some() {
                self.tell(Fact::Met { who, what });
                self.let_go(cid);
                self.handle(host, Happened::Disconnected);
                if self.flaw == Some(Flaw::LeavesOnError) {
                    self.leave_all(host);
                }
            }
            return;
        }
        let not_opened = match &input {
            Input::NotOpened(cid) => Some(*cid),
            _ => None,
        };
        if let Input::Opened(cid) = &input
            && running.opening == Some(*cid)
        {
            self.opened_beside(host);
        }
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        match running.event(now, input) {
            Some(event) => self.handle(host, event),
            None => self.plan_wake(host),
        }
        if let Some(cid) = not_opened {
            self.let_go(cid);
        }
    }

    fn leave_all(&mut self, host: usize) {
        let running = self.hosts[host].running.as_ref();
        let keys: Vec<Key> = running.map_or(vec![], |running| {
            running.elections.keys().copied().collect()
        });
        for key in keys {
            self.handle(host, Happened::Leave { key });
        }
    }

    /// Take an event to the state machine, and do what it says.
    pub(super) fn handle(&mut self, host: usize, event: Happened) {
        let now = self.hosts[host].now(self.now);
        let who = self.hosts[host].who(host);
        self.coverage.event(&event);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let may_move = self.coverage.may_move(who, &event);
        running.process.handle(now, event);
        let mut moved = may_move;
        loop {
            let flawed = self.flaw == Some(Flaw::PulseFromReceipt);
            let Some(running) = self.hosts[host].running.as_mut() else {
                return;
            };
            if !running.extend(now, flawed) {
                running.process.handle(now, Happened::Disconnected);
                moved = true;
            }
            let Some(action) = running.process.poll() else {
                break;
            };
            moved |= self.coverage.action(&action);
            if !is_routine(&action) {
                self.tell(Fact::Does {
                    who,
                    action: action.clone(),
                });
            }
            self.perform(host, action);
        }
        if moved && let Some(running) = self.hosts[host].running.as_ref() {
            let unknown = self.coverage.places(who, &running.process);
            if let Some(why) = unknown {
                self.broken.get_or_insert(Broken {
                    invariant: "the machine's diagram",
                    why,
                    is_late: false,
                });
            }
        }
        self.plan_wake(host);
    }

    fn perform(&mut self, host: usize, action: Action) {
        match action {
            Action::Connect if self.connects_elsewhere(host) => {}
            Action::Connect => {
                let cid = self.dial(host);
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.opening = Some(cid);
                }
                let at = self.now + self.connect_limit(host);
                let life = self.hosts[host].life;
                self.queue.plan(at, Event::ConnectLimit { host, life, cid });
            }
            Action::Send { sent, query } => {
                let running = self.hosts[host].running.as_mut();
                if let Query::Vacate { key, term, ending } = query
                    && let Some(candidate) = running.and_then(|r| r.elections.get_mut(&key))
                {
                    candidate.owed = Some((term, ending));
                }
                let running = self.hosts[host].running.as_ref();
                let Some(running) = running else { return };
                let Some(line) = &running.line else { return };
                let cid = line.cid;
                let follows: Vec<Key> = match &query {
                    Query::Read => running.elections.keys().copied().collect(),
                    _ => vec![],
                };
                let query = self.flawed(host, query);
                for query in self.split(query) {
                    let follows = follows.clone();
                    let packet = Packet::Request {
                        sent,
                        query,
                        follows,
                    };
                    self.deliver(cid, End::Server, packet);
                }
            }
            Action::Abandon => {
                let running = self.hosts[host].running.as_mut();
                if let Some(line) = running.and_then(|running| running.line.take()) {
                    self.let_go(line.cid);
                }
            }
            Action::Start { key, term } => self.start_work(host, key, term),
            Action::Cancel { key } => self.cancel_work(host, key),
            Action::Drop { key } => self.drop_work(host, key),
            Action::Overrun { key, term } => {
                if self.hosts[host].aborts {
                    self.kill(host, "it aborts, since its work outlives its lease");
                } else {
                    let who = self.hosts[host].who(host);
                    let by = self.now + nanos(self.longest_drop(host));
                    self.tell(Fact::Overran { who, key, term, by });
                }
            }
            Action::Left { key } => {
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.elections.remove(&key);
                }
                let who = self.hosts[host].who(host);
                self.tell(Fact::Left { who, key });
            }
            Action::Finish => {
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.finished = true;
                }
                self.queue.plan(
                    self.now,
                    Event::Exits {
                        host,
                        life: self.hosts[host].life,
                    },
                );
            }
            Action::Tell(Notice::Vacated { key, term, .. }) => {
                let running = self.hosts[host].running.as_mut();
                if let Some(candidate) = running.and_then(|r| r.elections.get_mut(&key)) {
                    candidate.owed.take_if(|(owed, _)| *owed == term);
                }
            }
            Action::Publish { .. } | Action::GaveUp { .. } | Action::Tell(_) => {}
        }
    }

    /// The driver panics and goes on with a new machine. Work stops by its leash, which needs none.
    pub(super) fn panic(&mut self, host: usize) -> bool {
        let seed = self.chance.bits() | 1;
        let forgets = self.flaw == Some(Flaw::ForgetsWork);
        let machine = &mut self.hosts[host];
        let who = machine.who(host);
        let now = machine.clock.at(self.now);
        let timings = machine.timings.clone();
        let Some(running) = machine.running.as_mut() else {
            return false;
        };
        if running.halted.is_some() || running.finished {
            return false;
        }
        let lost = [
            running.line.take().map(|line| line.cid),
            running.opening.take(),
        ];
        let heard = running.process.heard().clone();
        running.process = Process::new(machine.ticks_by.clone(), seed).remembering(heard);
        running.wake_at = NEVER;
        let (mut returns, mut events) = (vec![], vec![]);
        let mut working = vec![];
        for (&key, candidate) in &running.elections {
            let office = candidate.office.as_ref().filter(|office| !office.over);
            working.extend(office.filter(|office| office.running).map(|_| key));
            let margin = timings.aborted - timings.deposed;
            let work = office.map(|office| (office.term, office.until + margin));
            returns.push(Happened::Return {
                key,
                autopsy: candidate.autopsy,
                work: work.filter(|_| !forgets),
                owed: candidate.owed,
            });
            if candidate.leaves {
                events.push(Happened::Leave { key });
            }
        }
        if running.observes {
            events.push(Happened::Observe { key: OBSERVED });
        }
        if running.stopping {
            events.push(Happened::Shutdown);
        }
        for event in returns {
            self.coverage.event(&event);
            running.process.handle(now, event);
        }
        // All that was held went with the session.
        let unknown = self.coverage.places(who, &running.process);
        for event in events {
            self.coverage.event(&event);
            running.process.handle(now, event);
        }
        if let Some(why) = unknown {
            self.broken.get_or_insert(Broken {
                invariant: "the machine's diagram",
                why,
                is_late: false,
            });
        }
        for cid in lost.into_iter().flatten() {
            self.let_go(cid);
        }
        for key in working {
            self.drop_work(host, key);
        }
        self.handle(host, Happened::Timer);
        true
    }

    /// As they are; one for each election where the world is broken so.
    fn split(&self, query: Query) -> Vec<Query> {
        match query {
            Query::Heartbeat { keys } if self.flaw == Some(Flaw::QueryEachElection) => keys
                .into_iter()
                .map(|key| Query::Heartbeat { keys: vec![key] })
                .collect(),
            query => vec![query],
        }
    }

    /// Wake the process when its machine wants to be woken; seldom too early, never twice for one deadline.
    pub(super) fn plan_wake(&mut self, host: usize) {
        let latency = self.wake_latency;
        let machine = &mut self.hosts[host];
        let Some(running) = machine.running.as_mut() else {
            return;
        };
        let deadline = running.process.deadline();
        let at = machine.clock.when(deadline).max(self.now);
        if running.finished || running.halted.is_some() || at == NEVER || at >= running.wake_at {
            return;
        }
        running.wake_at = at;
        running.wake_number += 1;
        let late = self.chance.below(nanos(latency).max(1));
        let event = Event::Wake {
            host,
            life: machine.life,
            number: running.wake_number,
        };
        self.queue.plan(at + late, event);
    }

    pub(super) fn wake(&mut self, host: usize, life: u32, number: u64) {
        let machine = &mut self.hosts[host];
        let Some(running) = machine.running.as_mut().filter(|_| machine.life == life) else {
            return;
        };
        if running.wake_number != number || running.halted.is_some() {
            return;
        }
        running.wake_at = NEVER;
        if machine.clock.when(running.process.deadline()) > self.now {
            return self.plan_wake(host);
        }
        self.input(host, life, Input::Timer);
    }

    /// None of its instructions is run from here.
    pub(super) fn halt(&mut self, host: usize, halt: Halt) -> bool {
        let who = self.hosts[host].who(host);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return false;
        };
        if running.halted.is_some() {
            return false;
        }
        running.halted = Some(halt);
        self.tell(Fact::Halted { who });
        true
    }

    /// It goes on. Of a suspended machine the timers go on where they were: it looks at its clock within a
    /// tick, or when something comes.
    pub(super) fn go_on(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let who = machine.who(host);
        let Some(running) = machine.running.as_mut() else {
            return;
        };
        let Some(halt) = running.halted.take() else {
            return;
        };
        let tick = running.process.look_every();
        self.tell(Fact::WokeUp { who });
        let late = match halt {
            Halt::Stopped => self.wake_latency,
            Halt::Suspended => tick,
        };
        let late = self.chance.below(nanos(late).max(1));
        self.queue.plan(
            self.now + late,
            Event::Looks {
                host,
                life: who.life,
            },
        );
        let inbox = self.hosts[host].running.as_mut();
        let inbox = inbox.map(|running| std::mem::take(&mut running.inbox));
        let mut wakes = false;
        for input in inbox.unwrap_or_default() {
            wakes |= !matches!(input, Input::Work { .. });
            self.input(host, who.life, input);
        }
        if wakes {
            self.looks(host, who.life);
        }
    }

    /// It looks at its clock, and goes on as it should.
    pub(super) fn looks(&mut self, host: usize, life: u32) {
        let machine = &mut self.hosts[host];
        let who = machine.who(host);
        let running = machine.running.as_mut().filter(|_| machine.life == life);
        let Some(running) = running.filter(|running| running.halted.is_none()) else {
            return;
        };
        running.wake_at = NEVER;
        self.input(host, life, Input::Timer);
        if self.hosts[host].running.is_some() {
            self.tell(Fact::Looked { who });
        }
    }
}

impl Running {
    /// Mirrors `Pulse::extend`. False when a reader saw the deadline pass before the machine did.
    fn extend(&mut self, now: crate::engine::Instant, from_receipt: bool) -> bool {
        let until = self.process.current_until();
        let Some((line, mut until)) = self.line.as_mut().zip(until) else {
            return true;
        };
        if from_receipt {
            until = now + Duration::from_secs(60);
        }
        if line.until == crate::engine::Instant::default() {
            return false;
        }
        line.until = line.until.max(until);
        let (cid, until) = (line.cid, line.until);
        let offices = self
            .elections
            .values_mut()
            .filter_map(|c| c.office.as_mut());
        for office in offices.filter(|office| office.cid == cid) {
            office.until = until;
        }
        true
    }
}

/// What happens all the time, and would only fill the timeline.
fn is_routine(action: &Action) -> bool {
    match action {
        Action::Send { query, .. } => match query {
            Query::Prove | Query::Heartbeat { .. } | Query::Read => true,
            Query::Campaign {
                keys, successor_of, ..
            } => keys.len() == successor_of.len(),
            _ => false,
        },
        Action::Publish { .. } => true,
        _ => false,
    }
}
