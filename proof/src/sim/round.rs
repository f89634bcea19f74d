//! The course of a run: a storm, then calm until everything is led again, a while in which nothing changes,
//! and one thing at a time that ends a term.

use std::time::Duration;

use super::bounds::{Circumstances, bound, bound_after_storm};
use super::clock::{Time, nanos};
use super::elections::name;
use super::ending::Ending;
use super::fact::{Fact, Steady};
use super::fault::Fault;
use super::phase::Phase;
use super::places::Place;
use super::world::{Event, World};
use crate::engine::{Input, Key, Stop};
use crate::postgres::Tables;

impl World {
    /// The next part of the round, when the one before is over.
    pub(super) fn next_phase(&mut self) {
        let lease = self.longest_lease();
        let retry = self.longest_retry();
        let look = lease / 4;
        match std::mem::replace(&mut self.round.phase, Phase::Storm) {
            Phase::Storm => {
                let by = self.settle();
                self.phase(Phase::Settling { by }, look);
            }
            Phase::Settling { by } if self.now < by && !self.all_led() => {
                self.revive();
                self.phase(Phase::Settling { by }, look);
            }
            Phase::Settling { by } => {
                if self.now >= by {
                    self.tell(Fact::Tick);
                }
                self.round.left = if self.is_crowd() {
                    self.chance.whole(1, 2)
                } else {
                    self.chance.whole(0, 3)
                };
                self.phase(Phase::Quiet, self.quiet());
            }
            Phase::Quiet if self.now < self.round.all_by && !self.all_take_part() => {
                self.revive();
                self.phase(Phase::Quiet, self.quiet());
            }
            Phase::Quiet => {
                let since = self.now;
                let executed = self.server.executed;
                let tables = Box::new(self.server.postgres.tables().clone());
                let phase = Phase::Steady {
                    since,
                    executed,
                    tables,
                };
                let leases = if self.is_crowd() { 3 } else { 10 };
                self.phase(phase, lease * leases + retry);
            }
            Phase::Steady {
                since,
                executed,
                tables,
            } => {
                self.tell_steady(since, executed, &tables);
                self.end_one_or_storm();
            }
            Phase::Struck { terms, by } => {
                let led = terms.iter().all(|(key, term)| self.led_after(*key, *term));
                if self.now < by && !led {
                    return self.phase(Phase::Struck { terms, by }, look);
                }
                if !led {
                    self.tell(Fact::Tick);
                }
                self.heal();
                self.round.left -= 1;
                let by = self.settle();
                self.phase(Phase::Settling { by }, look);
            }
        }
    }

    fn phase(&mut self, phase: Phase, lasts: Duration) {
        self.round.phase = phase;
        self.queue.plan(self.now + nanos(lasts), Event::Round);
    }

    /// Long enough for everybody to have looked around.
    fn quiet(&self) -> Duration {
        self.longest_retry() * 11 / 4 + self.longest_lease()
    }

    pub(super) fn longest_retry(&self) -> Duration {
        let intervals = self.hosts.iter().map(|host| host.timings.retry_interval);
        intervals.max().unwrap_or_default()
    }

    /// Nothing goes wrong any more. Everything must be led within bounds.
    fn settle(&mut self) -> Time {
        self.calm = true;
        self.longest_latency = self.latencies.0;
        self.longest_transaction = self.longest_latency;
        self.heal();
        let mut keys: Vec<Key> = (0..self.hosts.len())
            .flat_map(|host| self.hosts[host].takes_part.clone())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let bound = bound_after_storm(&self.circumstances());
        let by = self.after(bound);
        self.round.all_by = by;
        self.tell(Fact::Calm { keys, by });
        by
    }

    fn circumstances(&self) -> Circumstances {
        let grace = self.hosts.iter().map(|host| host.timings.grace);
        Circumstances {
            lease: self.longest_lease(),
            retry_interval: self.longest_retry(),
            grace: grace.max().unwrap_or_default(),
            latency: self.longest_latency,
            // Of what is not promised only that is said which the table says.
            toll: if self.is_overcrowded() {
                Duration::ZERO
            } else {
                self.toll()
            },
        }
    }

    fn all_led(&self) -> bool {
        self.elections.iter().all(|&key| {
            let wanted = self.hosts.iter().any(|host| host.takes_part.contains(&key));
            !wanted || self.worker(key).is_some()
        })
    }

    pub(super) fn look_at_places(&mut self, host: usize) {
        let running = self.hosts[host].running.as_ref();
        let engine = running.map(|running| &*running.engine);
        self.coverage.look_again(self.hosts[host].who(host), engine);
    }

    fn look_at_all_places(&mut self) {
        for host in 0..self.hosts.len() {
            self.look_at_places(host);
        }
    }

    fn all_take_part(&mut self) -> bool {
        self.look_at_all_places();
        self.hosts.iter().enumerate().all(|(index, host)| {
            let who = host.who(index);
            let mut keys = host.takes_part.iter();
            host.running.is_some() && keys.all(|&key| self.coverage.place(who, key).takes_part())
        })
    }

    fn tell_steady(&mut self, since: Time, executed: u64, tables: &Tables) {
        self.look_at_all_places();
        let mut steady = Steady {
            lasted: Duration::from_nanos(self.now - since),
            leaders: vec![],
            successors: vec![],
            processes: vec![],
            queries: self.server.executed - executed,
            elections: self.elections.len(),
            written: self.server.postgres.tables() != tables,
        };
        let mut standing = vec![];
        let shortest = self.hosts.iter().map(|host| host.timings.lease).min();
        for (index, host) in self.hosts.iter().enumerate() {
            let who = host.who(index);
            let place = |key: &Key| self.coverage.place(who, *key);
            let stands = |wanted: Place| host.takes_part.iter().any(|key| place(key) == wanted);
            if stands(Place::Leading) {
                steady.leaders.push(host.timings.heartbeat_interval);
            }
            if stands(Place::Successor) {
                let probes = shortest.unwrap_or_default() / 20;
                steady.successors.push(probes);
            }
            steady.processes.push(host.timings.retry_interval);
            for &key in &host.takes_part {
                standing.push((who, key, place(&key).takes_part()));
            }
        }
        for (who, key, takes_part) in standing {
            self.tell(Fact::Stands {
                who,
                key,
                takes_part,
            });
        }
        self.tell(Fact::Steady(steady));
        let waiting = self.who_waits().filter(|_| !self.is_overcrowded());
        self.must_not_be("8: handles are answered", waiting);
    }

    /// Who has asked for something in the last storm and still waits.
    fn who_waits(&self) -> Option<String> {
        self.hosts.iter().enumerate().find_map(|(index, host)| {
            let running = host.running.as_ref()?;
            let resigns = running.resigning.keys().next();
            let leaves = running.leaving.iter().next();
            let waits = match (resigns, leaves) {
                (Some(key), _) => format!("resigned from {key:?} and waits"),
                (None, key) => format!("left {:?} and waits", key?),
            };
            Some(format!("{} {waits}", host.who(index)))
        })
    }

    fn end_one_or_storm(&mut self) {
        if self.round.left > 0 && self.end_one() {
            return;
        }
        let lease = self.longest_lease();
        self.calm = false;
        self.longest_latency = self.latencies.1;
        self.longest_transaction = lease / 4;
        self.tell(Fact::Storm { lease });
        self.queue.plan(self.now, Event::Strikes);
        if self.second.is_some() {
            self.queue.plan(self.now, Event::StrikesBeside);
        }
        let (least, most) = if self.is_crowd() { (5, 15) } else { (20, 100) };
        let lasts = self.chance.between(lease * least, lease * most);
        self.round.left = 0;
        self.phase(Phase::Storm, lasts);
    }

    /// One thing goes wrong, and ends a term. False where nothing suits.
    fn end_one(&mut self) -> bool {
        let elections = self.elections.clone();
        let Some(&key) = self.chance.pick(&elections) else {
            return false;
        };
        let ending = *self.chance.pick(&Ending::ALL).unwrap_or(&Ending::Killed);
        let Some(leader) = self.worker(key) else {
            return false;
        };
        let Some(term) = self.term_of(leader, key) else {
            return false;
        };
        let successor = (0..self.hosts.len())
            .find(|&host| self.coverage.place(self.hosts[host].who(host), key) == Place::Successor);
        let Some(successor) = successor else {
            return false;
        };
        let believed =
            self.hosts[leader].direct && !self.hosts[successor].always_waits.contains(&key);
        if believed && ending == Ending::KilledUnseen || !believed && ending == Ending::Killed {
            return false;
        }
        let third =
            self.hosts.iter().enumerate().any(|(index, host)| {
                index != leader && index != successor && host.is_candidate(key)
            });
        if ending == Ending::BothKilled && !third {
            return false;
        }
        let struck = self.all_struck(ending, key, leader, successor);
        let by = struck.iter().map(|(_, by)| *by).max().unwrap_or(self.now);
        let lease = self.hosts[leader].timings.lease;
        let terms = struck.iter().filter_map(|(key, _)| {
            let term = self.term_of(self.worker(*key)?, *key)?;
            Some((*key, term))
        });
        let terms = terms.collect();
        self.tell(Fact::Struck {
            ending,
            key,
            lease,
            led_by: struck,
        });
        self.end(ending, key, term, leader, successor);
        let look = self.hosts[leader].timings.lease / 4;
        self.phase(Phase::Struck { terms, by }, look);
        self.round.begun = false;
        true
    }

    /// All elections whose term it ends, and when each is led again at the latest. Not those that nobody else can
    /// lead.
    fn all_struck(
        &self,
        ending: Ending,
        key: Key,
        leader: usize,
        successor: usize,
    ) -> Vec<(Key, Time)> {
        let of_leader = |key: &Key| self.worker(*key) == Some(leader);
        let of_both = |key: &Key| of_leader(key) || self.worker(*key) == Some(successor);
        let elections = self.elections.iter().copied();
        let keys: Vec<Key> = match ending {
            Ending::Returned
            | Ending::Resigned
            | Ending::Failed
            | Ending::SteppedDown
            | Ending::Transferred => vec![key],
            Ending::ShutDown
            | Ending::Killed
            | Ending::KilledUnseen
            | Ending::SessionKilled
            | Ending::NetworkCut
            | Ending::Stopped
            | Ending::MachineOff => elections.filter(of_leader).collect(),
            Ending::BothKilled => elections.filter(of_both).collect(),
            Ending::ServerRestarted => elections
                .filter(|key| self.worker(*key).is_some())
                .collect(),
        };
        let gone: &[usize] = match ending {
            Ending::BothKilled => &[leader, successor],
            Ending::ServerRestarted => &[],
            _ => &[leader],
        };
        let circumstances = self.circumstances();
        let struck = keys.into_iter().filter_map(|key| {
            let ending = self.ending_for(ending, key, gone)?;
            let leader = &self.hosts[self.worker(key)?].timings;
            Some((key, self.after(bound(ending, leader, &circumstances))))
        });
        struck.collect()
    }

    /// What it is for one of the elections that it strikes: who succeeds there may believe less of what he sees, or
    /// be gone too.
    fn ending_for(&self, ending: Ending, key: Key, gone: &[usize]) -> Option<Ending> {
        let leader = self.worker(key)?;
        let (succeeds, others) = {
            let hosts = self.hosts.iter().enumerate();
            let others = hosts.filter(|(index, host)| {
                !gone.contains(index) && *index != leader && host.is_candidate(key)
            });
            let others: Vec<usize> = others.map(|(index, _)| index).collect();
            let stands = |host: &&usize| {
                let who = self.hosts[**host].who(**host);
                self.coverage.place(who, key) == Place::Successor
            };
            (others.iter().find(stands).copied(), others)
        };
        if others.is_empty() && ending != Ending::ServerRestarted {
            return None;
        }
        Some(match (ending, succeeds) {
            (Ending::ServerRestarted, _) => ending,
            (Ending::Killed | Ending::KilledUnseen, Some(successor)) => {
                let waits = self.hosts[successor].always_waits.contains(&key);
                if self.hosts[leader].direct && !waits {
                    Ending::Killed
                } else {
                    Ending::KilledUnseen
                }
            }
            (_, Some(_)) if ending != Ending::BothKilled => ending,
            _ => Ending::BothKilled,
        })
    }

    /// Whether a later term's work runs.
    fn led_after(&self, key: Key, term: u64) -> bool {
        self.hosts.iter().any(|host| {
            let running = host.running.as_ref();
            let candidate = running.and_then(|running| running.elections.get(&key));
            let office = candidate.and_then(|candidate| candidate.office.as_ref());
            office.is_some_and(|office| office.running && office.term > term)
        })
    }

    fn end(&mut self, ending: Ending, key: Key, term: u64, leader: usize, successor: usize) {
        // Healed once the election is led again.
        let long = Duration::from_secs(1_000_000);
        match ending {
            Ending::Returned => self.stop_work(leader, key, term, Stop::Returned),
            Ending::Failed => self.stop_work(leader, key, term, Stop::Failed),
            Ending::Resigned => {
                self.asks(leader, Input::Resign { key, term });
            }
            Ending::SteppedDown => {
                self.server.postgres.step_down(&name(key));
                self.words();
            }
            Ending::Transferred => {
                let others = (0..self.hosts.len()).filter(|&host| host != leader);
                let others: Vec<usize> = others
                    .filter(|&host| self.hosts[host].takes_part.contains(&key))
                    .collect();
                if let Some(&host) = self.chance.pick(&others) {
                    self.transfer(key, host);
                }
            }
            Ending::ShutDown => self.strike(Fault::ProcessShutDown, leader, long),
            Ending::Killed | Ending::KilledUnseen => {
                self.strike(Fault::ProcessKilled, leader, long);
            }
            Ending::SessionKilled => self.kill_session_of(leader),
            Ending::ServerRestarted => {
                let down = self.hosts[leader].timings.lease / 50;
                self.strike(Fault::ServerRestart, leader, down);
            }
            Ending::NetworkCut => self.strike(Fault::CutBoth, leader, long),
            Ending::Stopped => self.strike(Fault::ProcessStopped, leader, long),
            Ending::MachineOff => self.strike(Fault::MachineOff, leader, long),
            Ending::BothKilled => {
                self.strike(Fault::ProcessKilled, leader, long);
                self.strike(Fault::ProcessKilled, successor, long);
            }
        }
    }

    pub(super) fn kill_session_of(&mut self, host: usize) {
        let desks = self.server.desks.iter();
        let pids: Vec<_> = desks
            .filter(|(_, desk)| desk.host == host)
            .map(|(&pid, _)| pid)
            .collect();
        for pid in pids {
            self.server
                .postgres
                .end(pid, crate::postgres::Cause::Killed);
        }
        self.words();
    }

    fn term_of(&self, host: usize, key: Key) -> Option<u64> {
        let running = self.hosts[host].running.as_ref()?;
        let office = running.elections.get(&key)?.office.as_ref()?;
        Some(office.term)
    }
}
