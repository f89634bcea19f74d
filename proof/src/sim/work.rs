//! The application's work of a term: how it goes, and how it stops.

use std::time::Duration;

use super::clock::nanos;
use super::fact::Fact;
use super::flaw::Flaw;
use super::host::Arrival;
use super::office::{Manner, Office, Step};
use super::world::{Event, World};
use crate::engine::{Input, Instant, Key, Stop};

const MANNERS: [Manner; 9] = [
    Manner::Obeys,
    Manner::Obeys,
    Manner::Obeys,
    Manner::Obeys,
    Manner::Stubborn,
    Manner::Blocks,
    Manner::Returns,
    Manner::Fails,
    Manner::Resigns,
];

impl World {
    pub(super) fn start_work(&mut self, host: usize, key: Key, term: u64) {
        let who = self.hosts[host].who(host);
        let manner = if self.calm {
            Manner::Obeys
        } else {
            *self.chance.pick(&MANNERS).unwrap_or(&Manner::Obeys)
        };
        let lease = self.hosts[host].timings.lease;
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let Some(cid) = running.line.as_ref().map(|line| line.cid) else {
            return;
        };
        let Some(candidate) = running.elections.get_mut(&key) else {
            return;
        };
        let manner = if candidate.graceful {
            manner
        } else {
            Manner::Deaf
        };
        candidate.office = Some(Office {
            term,
            cid,
            running: true,
            over: false,
            manner,
            blocks_until: 0,
            stopping: None,
        });
        self.coverage.manner(manner);
        self.tell(Fact::WorkStarted { who, key, term });
        if self.flaw == Some(Flaw::Stumbles) && self.round.is_first_after_ending() {
            self.kill_session_of(host);
        }
        let recovers = self.chance.any_scale(lease / 1000, lease / 2);
        self.plan_work(host, key, term, recovers, Step::Ready);
        let soon = self.chance.between(Duration::ZERO, lease / 2);
        self.plan_work(host, key, term, soon, Step::Ask);
        if self.fences {
            let soon = self.chance.between(Duration::ZERO, lease);
            self.plan_work(host, key, term, soon, Step::Fence);
        }
        if matches!(
            manner,
            Manner::Returns | Manner::Fails | Manner::Resigns | Manner::Blocks
        ) {
            let lasts = self.chance.any_scale(lease / 100, lease * 10);
            self.plan_work(host, key, term, lasts, Step::End(manner));
        }
    }

    fn plan_work(&mut self, host: usize, key: Key, term: u64, after: Duration, step: Step) {
        let life = self.hosts[host].life;
        self.queue.plan(
            self.now + nanos(after),
            Event::Arrival {
                host,
                life,
                arrival: Arrival::Work { key, term, step },
            },
        );
    }

    fn office(&mut self, host: usize, key: Key, term: u64) -> Option<&mut Office> {
        let running = self.hosts[host].running.as_mut()?;
        running
            .office(key)
            .filter(|office| office.term == term && office.running)
    }

    pub(super) fn work(&mut self, host: usize, key: Key, term: u64, step: Step) {
        let (now, calm) = (self.now, self.calm);
        let lease = self.hosts[host].timings.lease;
        let Some(office) = self.office(host, key, term) else {
            // What work has left behind tries, too.
            if step == Step::Fence && self.chance.one_in(3) {
                self.transaction(key, term);
            }
            return;
        };
        match step {
            Step::Ready => self.asks_later(host, Input::Ready { key, term }),
            Step::Ask => {
                let next = if calm { lease * 2 } else { lease / 3 };
                let after = self.chance.between(next / 2, next);
                self.ask_current(host, key, term);
                self.plan_work(host, key, term, after, Step::Ask);
            }
            Step::Fence => {
                self.transaction(key, term);
                let after = self.chance.any_scale(lease / 50, lease * 4);
                self.plan_work(host, key, term, after, Step::Fence);
            }
            Step::End(_) if calm => {}
            Step::End(Manner::Resigns) => {
                self.asks_later(host, Input::Resign { key, term });
            }
            Step::End(Manner::Blocks) => {
                let blocks = self.chance.any_scale(lease / 50, lease * 3);
                let until = now + nanos(blocks);
                if let Some(office) = self.office(host, key, term) {
                    office.blocks_until = until;
                }
            }
            // What it has spawned may stop later.
            Step::End(Manner::Fails) => {
                self.asks_later(host, Input::Fail { key, term });
                let takes = (self.chance).any_scale(Duration::from_micros(1), lease / 4);
                self.plan_work(host, key, term, takes, Step::Stop(Stop::Failed));
            }
            Step::End(_) => {
                self.asks_later(host, Input::EndedByItself { key, term });
                let takes = (self.chance).any_scale(Duration::from_micros(1), lease / 4);
                self.plan_work(host, key, term, takes, Step::Stop(Stop::Returned));
            }
            Step::Stop(stop) => {
                let until = office
                    .blocks_until
                    .max(self.hosts[host].runtime_blocked_until);
                if until > now {
                    let who = self.hosts[host].who(host);
                    self.tell(Fact::Blocks {
                        who,
                        key,
                        term,
                        until,
                    });
                    let left = Duration::from_nanos(until - now);
                    return self.plan_work(host, key, term, left, step);
                }
                self.stop_work(host, key, term, stop);
            }
        }
    }

    fn transaction(&mut self, key: Key, term: u64) {
        let longest = self.longest_transaction;
        let takes = self.chance.any_scale(Duration::from_micros(100), longest);
        let admitted = self.fence(key, term, takes, false);
        self.coverage.fenced(admitted);
    }

    /// Work has stopped, by itself or dropped: its guard lets go of the socket, then the driver is told.
    pub(super) fn stop_work(&mut self, host: usize, key: Key, term: u64, stop: Stop) {
        let who = self.hosts[host].who(host);
        let Some(office) = self.office(host, key, term) else {
            return;
        };
        office.running = false;
        let cid = office.cid;
        self.tell(Fact::WorkStopped {
            who,
            key,
            term,
            stop,
        });
        self.let_go(cid);
        self.asks_later(host, Input::Stopped { key, term, stop });
    }

    pub(super) fn cancel_work(&mut self, host: usize, key: Key) {
        let calm = self.calm;
        let lease = self.hosts[host].timings.lease;
        let Some(office) = self.hosts[host]
            .running
            .as_mut()
            .and_then(|running| running.office(key))
        else {
            return;
        };
        let (term, manner) = (office.term, office.manner);
        if !matches!(manner, Manner::Deaf | Manner::Stubborn) {
            office.stopping = Some(Stop::Returned);
        }
        if self.flaw == Some(Flaw::StopToldEarly) {
            let stop = Stop::Returned;
            self.asks_later(host, Input::Stopped { key, term, stop });
        }
        match manner {
            // The one cannot hear it.
            Manner::Deaf | Manner::Stubborn => {}
            _ => {
                let longest = if calm { lease / 50 } else { lease / 4 };
                let takes = self.chance.any_scale(Duration::from_micros(1), longest);
                self.plan_work(host, key, term, takes, Step::Stop(Stop::Returned));
            }
        }
    }

    /// What does not block its thread is gone by then, once it is to be dropped.
    pub(super) fn longest_drop(&self, host: usize) -> Duration {
        self.hosts[host].timings.lease / 20
    }

    pub(super) fn drop_work(&mut self, host: usize, key: Key) {
        let longest = self.longest_drop(host);
        let mut takes = self.chance.heavy(Duration::from_micros(5), longest);
        if self.flaw == Some(Flaw::DroppedLate) {
            takes += self.hosts[host].timings.lease * 3;
        }
        if let Some(office) = self.hosts[host]
            .running
            .as_mut()
            .and_then(|running| running.office(key))
        {
            let term = office.term;
            office.stopping = Some(Stop::Dropped);
            self.plan_work(host, key, term, takes, Step::Stop(Stop::Dropped));
        }
    }

    /// Nothing blocks any more, and work stops when it is told to.
    pub(super) fn unblock(&mut self, host: usize) {
        self.hosts[host].runtime_blocked_until = 0;
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let mut stops = vec![];
        for (&key, candidate) in &mut running.elections {
            if let Some(office) = candidate.office.as_mut() {
                office.blocks_until = 0;
                office.manner = Manner::Obeys;
                stops.extend(office.stopping.map(|stop| (key, office.term, stop)));
            }
        }
        for (key, term, stop) in stops {
            self.plan_work(host, key, term, Duration::ZERO, Step::Stop(stop));
        }
    }

    /// As `Term::is_current` does it: it compares the deadline itself.
    fn ask_current(&mut self, host: usize, key: Key, term: u64) {
        let who = self.hosts[host].who(host);
        let now = self.hosts[host].now(self.now);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return;
        };
        let Some(office) = running.elections.get(&key).and_then(|c| c.office.as_ref()) else {
            return;
        };
        let current = match running.line.as_mut().filter(|line| line.cid == office.cid) {
            Some(line) if now >= line.until => {
                line.until = Instant::default();
                false
            }
            Some(_) => !office.over,
            None => false,
        };
        self.tell(Fact::AskedCurrent {
            who,
            key,
            term,
            current,
        });
    }

    /// The application asks for something, or tells of its work, from another thread.
    pub(super) fn asks_later(&mut self, host: usize, input: Input) {
        let life = self.hosts[host].life;
        let hop = self.chance.below(nanos(self.wake_latency).max(1));
        self.queue.plan(
            self.now + hop,
            Event::Arrival {
                host,
                life,
                arrival: Arrival::Asked(input),
            },
        );
    }
}
