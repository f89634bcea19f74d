//! Things go wrong, and are over again.

use std::time::Duration;

use super::clock::{NEVER, nanos};
use super::connection::{End, Packet};
use super::elections::name;
use super::fact::Fact;
use super::fault::Fault;
use super::host::{Halt, OBSERVED};
use super::primary::Notifications;
use super::world::{Event, World};
use crate::engine::{Input, Key, Notification};
use crate::postgres::{Caller, Cause, Kind, Pid};

impl World {
    /// One more thing goes wrong, and the next one is planned.
    pub(super) fn strike_next(&mut self) {
        if self.calm {
            return;
        }
        let all: u64 = self.faults.iter().map(|fault| fault.weight()).sum();
        let mut drawn = self.chance.below(all.max(1));
        let fault = self.faults.iter().copied().find(|fault| {
            let found = drawn < fault.weight();
            drawn = drawn.saturating_sub(fault.weight());
            found
        });
        let lease = self.longest_lease();
        if let Some(fault) = fault {
            let host = self.chance.below(self.hosts.len() as u64) as usize;
            let lasts = self.chance.any_scale(lease / 50, lease * 5);
            self.strike(fault, host, lasts);
        }
        let next = self.chance.any_scale(lease / 50, lease * 4);
        self.queue.plan(self.now + nanos(next), Event::Strikes);
    }

    pub(super) fn longest_lease(&self) -> Duration {
        let leases = self.hosts.iter().map(|host| host.timings.lease);
        leases.max().unwrap_or_default()
    }

    /// It goes wrong now, on that machine if it is of a machine.
    pub(super) fn strike(&mut self, fault: Fault, host: usize, lasts: Duration) {
        let (hit, of_host, ends) = match fault {
            Fault::ProcessKilled
            | Fault::ProcessShutDown
            | Fault::ProcessStopped
            | Fault::MachineOff
            | Fault::MachineSuspended
            | Fault::RuntimeBlocked
            | Fault::LeaveAndJoin => (self.strike_process(fault, host, lasts), true, true),
            Fault::ClockRate | Fault::DriverPanics | Fault::Observe => {
                (self.strike_process(fault, host, lasts), true, false)
            }
            Fault::CutToServer | Fault::CutFromServer | Fault::CutBoth | Fault::SlowNetwork => {
                self.cut(host, fault, true);
                (true, true, true)
            }
            Fault::ConnectionLimit
            | Fault::ServerCrash
            | Fault::ServerRestart
            | Fault::ServerOff
            | Fault::Failover
            | Fault::FailoverWithLoss
            | Fault::PromotionDiscarded
            | Fault::PromotedAgain
            | Fault::NotificationsLost
            | Fault::NotificationsLate
            | Fault::StrangerLeads
            | Fault::StrangerSucceeds
            | Fault::Suspend
            | Fault::Exclude
            | Fault::RequestsLocked => (self.strike_server(fault), false, true),
            Fault::AnotherHostLed => (self.another_host_is_led(), false, true),
            Fault::ServerStalls => {
                self.server.stalled_until = self.now + nanos(lasts);
                (true, false, true)
            }
            Fault::ProxyDies
            | Fault::SessionKilled
            | Fault::CountersReset
            | Fault::NotificationsForged
            | Fault::TransactionStays
            | Fault::StepDown
            | Fault::Transfer
            | Fault::Resign => (self.strike_once(fault), false, false),
        };
        if !hit {
            return;
        }
        let host = of_host.then_some(host);
        self.tell(Fact::Fault { fault, host });
        if ends {
            self.goes_on(fault, host, lasts);
        }
    }

    pub(super) fn goes_on(&mut self, fault: Fault, host: Option<usize>, lasts: Duration) {
        self.struck += 1;
        let struck = self.struck;
        self.ongoing.push((struck, fault, host));
        self.queue
            .plan(self.now + nanos(lasts), Event::Over { struck });
    }

    fn strike_process(&mut self, fault: Fault, host: usize, lasts: Duration) -> bool {
        if self.hosts[host].running.is_none() {
            return false;
        }
        let who = self.hosts[host].who(host);
        match fault {
            Fault::ProcessKilled => self.kill(host, "killed"),
            Fault::MachineOff => {
                self.hosts[host].power = false;
                for cid in self.connections_of(who) {
                    if let Some(connection) = self.connections.get_mut(&cid) {
                        connection.vanish();
                    }
                }
                self.kill(host, "its machine is off");
            }
            Fault::ProcessStopped => return self.halt(host, Halt::Stopped),
            Fault::MachineSuspended => {
                let halted = self.halt(host, Halt::Suspended);
                self.hosts[host].path.asleep |= halted;
                return halted;
            }
            Fault::DriverPanics => return self.panic(host),
            Fault::RuntimeBlocked => {
                self.hosts[host].runtime_blocked_until = self.now + nanos(lasts);
            }
            Fault::ClockRate => {
                let rate = self.rates.0 + self.chance.below(self.rates.1 - self.rates.0);
                let now = self.now;
                self.hosts[host].clock.set_rate(now, rate);
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.wake_at = NEVER;
                }
                self.plan_wake(host);
            }
            Fault::Observe => {
                let (key, election) = (OBSERVED, name(OBSERVED));
                let input = if self.chance.one_in(2) {
                    Input::Observe { key, election }
                } else {
                    Input::Unobserve { key }
                };
                self.asks(host, input);
            }
            Fault::LeaveAndJoin => return self.leave_somewhere(host),
            _ => {
                for key in self.hosts[host].takes_part.clone() {
                    self.tell(Fact::WantedOut { who, key });
                }
                if let Some(running) = self.hosts[host].running.as_mut() {
                    running.stopping = true;
                }
                self.asks(host, Input::Shutdown);
            }
        }
        true
    }

    /// Rather from a place that is seldom stood in; and now and then its session is lost at once, or its
    /// machine stands still until the grace is over.
    fn leave_somewhere(&mut self, host: usize) -> bool {
        let who = self.hosts[host].who(host);
        self.look_at_places(host);
        let keys = self.stands_in(host);
        let seldom: Vec<Key> = keys
            .iter()
            .copied()
            .filter(|&key| self.coverage.place(who, key).is_seldom())
            .collect();
        let is_seldom = !seldom.is_empty();
        let keys = if is_seldom { seldom } else { keys };
        let Some(&key) = self.chance.pick(&keys) else {
            return false;
        };
        self.want_out(host, key);
        match self.chance.below(8) {
            0 | 1 => self.kill_session_of(host),
            2..=5 if is_seldom => self.kill_session_of(host),
            6 => {
                let timings = &self.hosts[host].timings;
                let lasts = timings.grace + timings.lease * 2;
                self.strike(Fault::MachineSuspended, host, lasts);
            }
            _ => {}
        }
        true
    }

    /// The elections in which the process of a machine is a candidate.
    pub(super) fn stands_in(&self, host: usize) -> Vec<Key> {
        let running = self.hosts[host].running.as_ref();
        running.map_or(vec![], |running| {
            running.elections.keys().copied().collect()
        })
    }

    fn strike_server(&mut self, fault: Fault) -> bool {
        let up = self.server.postgres.is_up();
        match fault {
            Fault::ConnectionLimit => {
                self.server.most_sessions = self.server.postgres.sessions().saturating_sub(1);
            }
            Fault::NotificationsLost => self.server.notifications = Notifications::Lost,
            Fault::NotificationsLate => self.server.notifications = Notifications::Late,
            Fault::Suspend | Fault::Exclude | Fault::RequestsLocked => return self.forbid(fault),
            Fault::StrangerLeads => return self.strange(Kind::Leadership),
            Fault::StrangerSucceeds => return self.strange(Kind::Succession),
            _ if !up => return false,
            Fault::PromotionDiscarded | Fault::PromotedAgain
                if !self.server.postgres.may_forget() =>
            {
                return false;
            }
            Fault::ServerRestart => {
                self.server.postgres.shut_down();
                self.words();
            }
            Fault::ServerOff => self.server_off(),
            Fault::Failover
            | Fault::FailoverWithLoss
            | Fault::PromotionDiscarded
            | Fault::PromotedAgain
                if self.chance.one_in(2) =>
            {
                self.server_off();
            }
            _ => {
                self.server.postgres.crash();
                self.words();
            }
        }
        true
    }

    fn server_off(&mut self) {
        self.server.unreachable = true;
        self.server.postgres.crash();
        self.words();
    }

    /// A session of no candidate takes the place of one that holds a lock.
    fn strange(&mut self, kind: Kind) -> bool {
        let elections = self.elections.clone();
        let Some(&key) = self.chance.pick(&elections) else {
            return false;
        };
        let now = self.server.clock.at(self.now);
        let Some(pid) = (self.server.postgres).connect(now, Caller::STRANGER, Duration::MAX) else {
            return false;
        };
        if let Some(holder) = self.server.postgres.holder(kind, &name(key)) {
            self.server.postgres.end(holder, Cause::Killed);
        }
        let taken = match kind {
            Kind::Leadership => self.server.postgres.take_lock(&name(key), pid),
            Kind::Succession => self.server.postgres.take_place(&name(key), pid),
        };
        self.server.strangers.push(pid);
        self.words();
        taken
    }

    fn strike_once(&mut self, fault: Fault) -> bool {
        let elections = self.elections.clone();
        let Some(&key) = self.chance.pick(&elections) else {
            return false;
        };
        match fault {
            Fault::ProxyDies => return self.proxy_dies(),
            Fault::SessionKilled => {
                let pids: Vec<Pid> = self.server.desks.keys().copied().collect();
                let Some(&pid) = self.chance.pick(&pids) else {
                    return false;
                };
                self.server.postgres.end(pid, Cause::Killed);
                self.words();
            }
            Fault::CountersReset => {
                let at = i64::try_from(self.now).unwrap_or(i64::MAX);
                self.server.postgres.reset_counters(at);
            }
            Fault::NotificationsForged => {
                for cid in self
                    .server
                    .desks
                    .values()
                    .map(|desk| desk.cid)
                    .collect::<Vec<_>>()
                {
                    for _ in 0..3 {
                        for key in &elections {
                            let (pid, election) = (0, name(*key));
                            let forged = Notification { pid, election };
                            self.deliver(cid, End::Client, Packet::Notification(forged));
                        }
                    }
                }
            }
            Fault::TransactionStays => {
                let Some(term) = self.server.postgres.tables().newest_term(&name(key)) else {
                    return false;
                };
                let lease = self.longest_lease();
                // Over before the calm's endings, whose bounds know of no fenced transaction.
                let takes = self.chance.any_scale(lease, lease * 8);
                return self.fence(key, term, takes, true);
            }
            Fault::Transfer => {
                let host = self.chance.below(self.hosts.len() as u64) as usize;
                return self.transfer(key, host);
            }
            Fault::StepDown => {
                let asked = self.server.postgres.step_down(&name(key));
                self.words();
                return asked;
            }
            _ => return self.resign(key),
        }
        true
    }

    /// The work of an election gives up its term.
    pub(super) fn resign(&mut self, key: Key) -> bool {
        let Some(host) = self.worker(key) else {
            return false;
        };
        // From outside the work it names no term.
        if self.chance.one_in(2) {
            let asked = self.give_up_term(host, key);
            return asked.map(|input| self.asks_later(host, input)).is_some();
        }
        let running = self.hosts[host].running.as_mut();
        let Some(term) = running
            .and_then(|running| running.office(key))
            .map(|office| office.term)
        else {
            return false;
        };
        self.asks_later(host, Input::Resign { key, term });
        true
    }

    /// What went wrong is over.
    pub(super) fn over(&mut self, struck: u64) {
        let Some(index) = self
            .ongoing
            .iter()
            .position(|(number, ..)| *number == struck)
        else {
            return;
        };
        let (_, fault, host) = self.ongoing.remove(index);
        self.tell(Fact::Over { fault, host });
        match (fault, host) {
            (Fault::ProcessKilled | Fault::ProcessShutDown, Some(host)) => {
                if self.hosts[host].power {
                    self.start(host);
                }
            }
            (Fault::MachineOff, Some(host)) => {
                self.hosts[host].power = true;
                self.release_held(host);
                self.start(host);
            }
            (Fault::ProcessStopped | Fault::MachineSuspended, Some(host)) => {
                self.hosts[host].path.asleep = false;
                self.release_held(host);
                self.go_on(host);
            }
            (Fault::LeaveAndJoin, Some(host)) => {
                let joins = self.join_all(host);
                if joins && !self.calm && self.chance.one_in(8) {
                    self.take_back_at_once(host);
                }
            }
            (
                Fault::CutToServer | Fault::CutFromServer | Fault::CutBoth | Fault::SlowNetwork,
                Some(host),
            ) => self.cut(host, fault, false),
            (fault, _) => self.over_at_server(fault),
        }
    }

    /// It has just become a candidate, and is none any more before the server has answered.
    fn take_back_at_once(&mut self, host: usize) {
        for key in self.hosts[host].takes_part.clone() {
            self.want_out(host, key);
        }
        let lasts = self.longest_lease();
        self.goes_on(Fault::LeaveAndJoin, Some(host), lasts);
    }

    /// It becomes a candidate again wherever it should be one. False where it is not there to do so.
    pub(super) fn join_all(&mut self, host: usize) -> bool {
        let running = self.hosts[host].running.as_ref();
        if running.is_none_or(|running| running.stopping) {
            return false;
        }
        let stands_in = self.stands_in(host);
        for key in self.hosts[host].takes_part.clone() {
            if !stands_in.contains(&key) {
                self.enter(host, key);
            }
        }
        true
    }

    fn over_at_server(&mut self, fault: Fault) {
        match fault {
            Fault::ConnectionLimit => self.server.most_sessions = usize::MAX,
            Fault::NotificationsLost | Fault::NotificationsLate => {
                self.server.notifications = Notifications::AtOnce;
            }
            Fault::StrangerLeads | Fault::StrangerSucceeds => {
                for pid in std::mem::take(&mut self.server.strangers) {
                    self.server.postgres.end(pid, Cause::Client);
                }
                self.words();
            }
            Fault::Suspend | Fault::Exclude | Fault::RequestsLocked => self.permit(fault),
            Fault::ServerStalls => self.server.stalled_until = 0,
            Fault::AnotherHostLed => self.another_host_is_gone(),
            Fault::ServerCrash | Fault::ServerRestart | Fault::ServerOff => {
                self.server.postgres.start();
                self.reachable();
            }
            Fault::Failover => {
                let tables = self.server.postgres.tables().clone();
                self.server.postgres.promote_with(tables);
                self.reachable();
            }
            Fault::FailoverWithLoss => {
                let tables = self.server.standby.clone();
                let lost = self.newest_terms();
                self.server.postgres.promote_with(tables);
                self.forget_raised(&lost);
                self.reachable();
            }
            Fault::PromotionDiscarded | Fault::PromotedAgain => {
                let postgres = &mut self.server.postgres;
                let forgets = if fault == Fault::PromotionDiscarded {
                    postgres.discard_promotion()
                } else {
                    postgres.promote_another()
                };
                if forgets {
                    self.forget_terms();
                } else {
                    // Another discard came before it.
                    postgres.start();
                }
                self.reachable();
            }
            _ => {}
        }
    }

    /// The primary of the moment has never heard of what came after its tables, nor has its standby.
    fn forget_terms(&mut self) {
        let terms = self.newest_terms();
        self.server.standby = self.server.postgres.tables().clone();
        self.tell(Fact::Forgotten { terms });
    }

    fn newest_terms(&self) -> Vec<(Key, u64)> {
        let tables = self.server.postgres.tables();
        let newest = |key: &Key| (*key, tables.newest_term(&name(*key)).unwrap_or(0));
        self.elections.iter().map(newest).collect()
    }

    /// A term that was raised above what was heard of lies above its timeline, and may lie above the next one too. Where
    /// it is lost, nobody but who was told of it can know.
    fn forget_raised(&mut self, lost: &[(Key, u64)]) {
        let mut terms = self.newest_terms();
        terms.retain(|(key, _)| {
            let lost = lost.iter().find(|(of, _)| of == key);
            lost.is_some_and(|(_, term)| *term > self.server.postgres.floor(&name(*key)))
        });
        if !terms.is_empty() {
            self.tell(Fact::Forgotten { terms });
        }
    }

    fn reachable(&mut self) {
        self.server.unreachable = false;
        for host in 0..self.hosts.len() {
            self.release_held(host);
        }
    }

    /// Everything that goes wrong is over.
    pub(super) fn heal(&mut self) {
        while let Some((struck, ..)) = self.ongoing.first() {
            self.over(*struck);
        }
        self.permit_all();
        for host in 0..self.hosts.len() {
            self.unblock(host);
        }
        self.revive();
    }

    /// Every machine runs a process, and each takes part wherever it should.
    pub(super) fn revive(&mut self) {
        for host in 0..self.hosts.len() {
            self.start(host);
            self.join_all(host);
        }
    }
}
