//! What is around the engine of a process: what comes to it, and what is done of what it wants.

use std::time::Duration;

use super::acts::Acts;
use super::clock::{NEVER, nanos};
use super::connection::{Cid, End, Packet};
use super::elections::name;
use super::fact::Fact;
use super::fault::Fault;
use super::flaw::Flaw;
use super::host::{Arrival, Halt, Panics, Running};
use super::invariants::Broken;
use super::places::Place;
use super::world::{Event, World};
use crate::engine::{Candidature, Input, Instant, Key, Notice, Output, Request};
use crate::tells::kind;

impl World {
    /// Something comes to a process, if it still runs. While it is halted it waits.
    pub(super) fn arrive(&mut self, host: usize, life: u32, arrival: Arrival) {
        if self.hosts[host].life != life {
            return;
        }
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        if running.halted.is_some() {
            running.inbox.push_back(arrival);
            return;
        }
        match arrival {
            Arrival::Work { key, term, step } => self.work(host, key, term, step),
            arrival => self.take(host, arrival),
        }
    }

    /// A process that runs takes what came to it to its engine.
    fn take(&mut self, host: usize, arrival: Arrival) {
        let now = self.hosts[host].now(self.now);
        let who = self.hosts[host].who(host);
        let not_opened = match &arrival {
            Arrival::NotOpened(cid) => Some(*cid),
            _ => None,
        };
        let lost = matches!(
            &arrival,
            Arrival::Ended(_) | Arrival::Reply { answer: Err(_), .. }
        );
        let direct = self.hosts[host].direct;
        let pid = match &arrival {
            Arrival::Opened(cid) => self.connections.get(cid).and_then(|c| c.pid),
            _ => None,
        };
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let mut input = running.input(now, arrival, pid.unwrap_or(0), direct);
        if let Some(Input::Opened { hosts, .. }) = &mut input {
            *hosts = self.surroundings(host);
        }
        if let Some(input) = input {
            match &input {
                Input::Refused { why } => {
                    let what = why.to_string();
                    self.tell(Fact::Met { who, what });
                }
                Input::Lost { .. } => {
                    let what = "the session ended".to_owned();
                    self.tell(Fact::Met { who, what });
                }
                _ => {}
            }
            self.handle(host, input);
        }
        if lost && self.flaw == Some(Flaw::LeavesOnError) {
            self.leave_all(host);
        }
        self.plan_wake(host);
        if let Some(cid) = not_opened {
            self.let_go(cid);
        }
    }

    fn leave_all(&mut self, host: usize) {
        for key in self.stands_in(host) {
            if let Some(input) = self.leave(host, key) {
                self.handle(host, input);
            }
        }
    }

    /// What a handle asks for that takes a candidacy back.
    pub(super) fn leave(&self, host: usize, key: Key) -> Option<Input> {
        let running = self.hosts[host].running.as_ref()?;
        let candidacy = running.elections.get(&key)?.number;
        Some(Input::Leave { key, candidacy })
    }

    /// And that gives up whatever is held.
    pub(super) fn give_up_term(&self, host: usize, key: Key) -> Option<Input> {
        let running = self.hosts[host].running.as_ref()?;
        let candidacy = running.elections.get(&key)?.number;
        Some(Input::GiveUp { key, candidacy })
    }

    /// And that becomes a candidate.
    pub(super) fn join(&mut self, host: usize, key: Key) -> Input {
        let graceful = !self.chance.one_in(8);
        let machine = &mut self.hosts[host];
        machine.candidacies += 1;
        let candidature = Candidature {
            election: name(key),
            number: machine.candidacies,
            address: super::elections::address(host),
            priority: machine.priority,
            autopsy: !machine.always_waits.contains(&key),
            graceful,
        };
        Input::Join { key, candidature }
    }

    /// Take something to the engine, and do what it wants.
    pub(super) fn handle(&mut self, host: usize, input: Input) {
        let now = self.hosts[host].now(self.now);
        let who = self.hosts[host].who(host);
        self.coverage.input(&input);
        if matches!(input, Input::Notified(_))
            && let Some(running) = self.hosts[host].running.as_ref()
        {
            // One that goes once its try is answered tells nobody.
            let unknown = self.coverage.places(who, &*running.engine);
            self.must_not_be("the rules' diagram", unknown);
        }
        let machine = &mut self.hosts[host];
        let given = (now, machine.ticks_by.lease, machine.fails_fast);
        let Some(running) = machine.running.as_mut() else {
            return;
        };
        let mut moved = self.coverage.may_move(who, &running.ids, &input);
        // Where changes of place are not looked at, nobody knows.
        let knows = !self.coverage.sparse;
        let follows = |key: Key| knows && self.coverage.place(who, key) == Place::Following;
        let mut acts = Acts::of(running, given, follows, &input);
        running.engine.handle(now, input);
        let panics = running.panics.take();
        if panics == Some(Panics::Rules) {
            running.engine.interrupt();
        }
        let mut left = match panics {
            None => u64::MAX,
            Some(Panics::Rules) => 0,
            Some(Panics::Driver { after }) => after,
        };
        while left > 0 {
            left -= 1;
            let Some(running) = self.hosts[host].running.as_mut() else {
                return;
            };
            let Some(output) = running.engine.poll() else {
                break;
            };
            let wrong = acts.next(running, &output);
            self.must_not_be("what the engine wants", wrong);
            moved |= self.coverage.output(&output);
            if !is_routine(&output) {
                let output = Box::new(output.clone());
                self.tell(Fact::Does { who, output });
            }
            self.perform(host, output);
        }
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let wrong = acts.end(running, now).filter(|_| panics.is_none());
        let overtaken = std::mem::take(&mut running.overtaken);
        self.must_not_be("what the engine wants", wrong);
        if moved && let Some(running) = self.hosts[host].running.as_ref() {
            let unknown = self.coverage.places(who, &*running.engine);
            self.must_not_be("the rules' diagram", unknown);
        }
        if panics.is_some() {
            return self.restart(host);
        }
        if overtaken {
            self.handle(host, Input::Lost { why: None });
        }
        self.plan_wake(host);
    }

    pub(super) fn must_not_be(&mut self, invariant: &'static str, why: Option<String>) {
        if let Some(why) = why {
            self.broken.get_or_insert(Broken {
                invariant,
                why,
                is_late: false,
            });
        }
    }

    fn perform(&mut self, host: usize, output: Output) {
        match output {
            Output::Extend { until } => {
                let from_receipt = self.flaw == Some(Flaw::PulseFromReceipt);
                let now = self.hosts[host].now(self.now);
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.extend(if from_receipt {
                        now + Duration::from_secs(60)
                    } else {
                        until
                    });
                }
            }
            Output::Look { .. } => self.begin_to_look(host),
            Output::Open { .. } if self.connects_elsewhere(host) => {}
            Output::Open { .. } => {
                let cid = self.dial(host);
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.opening = Some(cid);
                }
                let at = self.now + self.connect_limit(host);
                let life = self.hosts[host].life;
                self.queue.plan(at, Event::ConnectLimit { host, life, cid });
            }
            Output::Send(request) => self.send(host, request),
            Output::LetGo | Output::Goodbye => {
                let running = self.hosts[host].running.as_mut();
                if let Some(line) = running.and_then(|running| running.line.take()) {
                    self.let_go(line.cid);
                }
            }
            Output::Start { key, term } => self.start_work(host, key, term),
            Output::Cancel { key } => self.cancel_work(host, key),
            Output::Drop { key } => self.drop_work(host, key),
            Output::Abort => self.kill(host, "it aborts, since its work outlives its lease"),
            Output::Left { key } => {
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.elections.remove(&key);
                    running.resigning.remove(&key);
                    running.leaving.remove(&key);
                }
                let who = self.hosts[host].who(host);
                self.tell(Fact::Left { who, key });
            }
            Output::Finished { refused } => self.finish(host, refused),
            Output::Tell(Notice::Overran { key, term }) if !self.hosts[host].aborts => {
                let who = self.hosts[host].who(host);
                let by = self.now + nanos(self.longest_drop(host));
                self.tell(Fact::Overran { who, key, term, by });
            }
            Output::Resigned { key, .. } => {
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.resigning.remove(&key);
                }
            }
            Output::Begin { .. } | Output::Publish { .. } | Output::Tell(_) => {}
        }
    }

    fn send(&mut self, host: usize, request: Request) {
        let running = self.hosts[host].running.as_mut();
        let Some(line) = running.and_then(|running| running.line.as_mut()) else {
            return;
        };
        let cid: Cid = line.cid;
        line.under_way.push_back(kind(&request));
        for request in self.flawed(host, request) {
            self.deliver(cid, End::Server, Packet::Request(request));
        }
    }

    fn finish(&mut self, host: usize, refused: bool) {
        if let Some(running) = self.hosts[host].running.as_mut() {
            running.finished = true;
        }
        let life = self.hosts[host].life;
        self.queue.plan(self.now, Event::Exits { host, life });
        if refused {
            // Whoever looks after it starts it again.
            let lasts = self.longest_lease() / 2;
            self.goes_on(Fault::ProcessShutDown, Some(host), lasts);
        }
    }

    /// The driver of a process panics, or the rules of its engine do: now or when the next thing comes.
    pub(super) fn panic(&mut self, host: usize) -> bool {
        let Some(running) = self.hosts[host].running.as_mut() else {
            return false;
        };
        if running.halted.is_some() || running.finished || running.panics.is_some() {
            return false;
        }
        match self.chance.below(3) {
            0 => self.restart(host),
            1 => {
                let after = self.chance.below(4);
                self.hosts[host].panics(Panics::Driver { after });
            }
            _ => self.hosts[host].panics(Panics::Rules),
        }
        true
    }

    /// A driver that has panicked is put back on its engine.
    fn restart(&mut self, host: usize) {
        let forgets = self.flaw == Some(Flaw::ForgetsWork);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let lost = [
            running.line.take().map(|line| line.cid),
            running.opening.take(),
        ];
        running.away = None;
        running.wake_at = NEVER;
        let offices = running.elections.iter();
        let offices =
            offices.filter_map(|(key, candidate)| Some((*key, candidate.office.as_ref()?)));
        let works = offices.filter(|(_, office)| !office.over && !forgets);
        let works = works.map(|(key, office)| (key, office.term)).collect();
        for cid in lost.into_iter().flatten() {
            self.let_go(cid);
        }
        self.handle(host, Input::Restarted { running: works });
    }

    /// Wake the process when its engine wants to be woken; seldom too early, never twice for one deadline.
    pub(super) fn plan_wake(&mut self, host: usize) {
        let latency = self.wake_latency;
        let machine = &mut self.hosts[host];
        let Some(running) = machine.running.as_mut() else {
            return;
        };
        let deadline = running.engine.poll_timeout();
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
        if machine.clock.when(running.engine.poll_timeout()) > self.now {
            return self.plan_wake(host);
        }
        self.arrive(host, life, Arrival::Timer);
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
        let tick = running.engine.look_every();
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
        for arrival in inbox.unwrap_or_default() {
            wakes |= !matches!(arrival, Arrival::Work { .. });
            self.arrive(host, who.life, arrival);
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
        self.arrive(host, life, Arrival::Timer);
        if self.hosts[host].running.is_some() {
            self.tell(Fact::Looked { who });
        }
    }
}

impl Running {
    /// The terms of the session are current until then, unless somebody has seen them end before.
    fn extend(&mut self, until: Instant) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        if line.until == Instant::default() {
            self.overtaken = true;
        } else {
            line.until = line.until.max(until);
        }
    }
}

/// What happens all the time, and would only fill the timeline.
fn is_routine(output: &Output) -> bool {
    match output {
        Output::Send(request) => match request {
            Request::Prove | Request::Heartbeat(_) | Request::Read(_) => true,
            Request::Campaign(bids) => bids.of.iter().all(|bid| bid.successor),
            _ => false,
        },
        Output::Extend { .. } | Output::Begin { .. } | Output::Publish { .. } => true,
        _ => false,
    }
}
