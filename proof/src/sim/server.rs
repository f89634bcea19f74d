//! The server: what time its sessions take, and what happens to them.

use std::collections::VecDeque;
use std::time::Duration;

use super::clock::{NEVER, nanos};
use super::connection::{Cid, End, Packet};
use super::elections::{address, key, name};
use super::fact::{Fact, Who};
use super::flaw::Flaw;
use super::primary::Desk;
use super::world::{Event, World};
use crate::engine::{Answer, Heard, Id, Instant, Join, Key, Request, Slice};
use crate::postgres::{Caller, Cause, Instance, Part, Pid, Refusal};
use crate::tells::{all_told, begun, done};

impl World {
    fn server_now(&self) -> Instant {
        self.server.clock.at(self.now)
    }

    fn service(&mut self, least: Duration) -> u64 {
        let takes = nanos(self.chance.heavy(least, self.longest_latency));
        takes.max(self.server.stalled_until.saturating_sub(self.now))
    }

    pub(super) fn arrives_at_server(&mut self, cid: Cid, packet: Packet) {
        match packet {
            Packet::Startup => self.startup(cid),
            Packet::Request(request) => {
                let Some(connection) = self.connections.get(&cid) else {
                    return;
                };
                let pid = connection.pid.filter(|_| connection.server_open);
                let desk = pid.and_then(|pid| Some((pid, self.server.desks.get_mut(&pid)?)));
                let Some((pid, desk)) = desk else {
                    return self.deliver(cid, End::Client, Packet::Fin);
                };
                desk.requests.push_back(request);
                self.work_desk(pid);
            }
            _ => self.server_hears_end(cid),
        }
    }

    fn startup(&mut self, cid: Cid) {
        let now = self.server_now();
        let sessions = self.server.postgres.sessions();
        let full = sessions >= self.server.most_sessions;
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        let host = &self.hosts[connection.host];
        let caller = Caller {
            instance: instance_of(connection.host, connection.life),
            direct: connection.direct,
            lease: host.ticks_by.lease,
            silence_limit: host.ticks_by.silence_limit,
        };
        let patience = host.ticks_by.patience();
        let pid = match self.server.postgres.connect(now, caller, patience) {
            Some(pid) if full => {
                self.server.postgres.end(pid, Cause::Fatal);
                self.words();
                None
            }
            pid => pid,
        };
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        let Some(pid) = pid else {
            return self.deliver(cid, End::Client, Packet::Refused);
        };
        connection.pid = Some(pid);
        connection.server_open = true;
        let desk = Desk {
            cid,
            host: connection.host,
            life: connection.life,
            requests: VecDeque::new(),
            under_way: None,
            opening: true,
            hung_up: false,
            idle_at: NEVER,
            idle_number: 0,
        };
        self.server.desks.insert(pid, desk);
        let takes = self.service(Duration::from_micros(500));
        self.queue.plan(self.now + takes, Event::Opens { pid });
    }

    pub(super) fn opens(&mut self, pid: Pid) {
        if let Some(desk) = self.server.desks.get_mut(&pid) {
            desk.opening = false;
            let cid = desk.cid;
            self.deliver(cid, End::Client, Packet::Opened);
            self.work_desk(pid);
        }
    }

    /// A backend takes its next request, or waits for one.
    pub(super) fn work_desk(&mut self, pid: Pid) {
        let now = self.server_now();
        let Some(desk) = self.server.desks.get_mut(&pid) else {
            return;
        };
        if desk.opening || desk.under_way.is_some() {
            return;
        }
        let Some(request) = desk.requests.pop_front() else {
            if desk.hung_up {
                self.server.postgres.end(pid, Cause::Client);
                return self.words();
            }
            return self.plan_idle(pid);
        };
        let limit = self.hosts[desk.host].timings.query_limit();
        // A slice ends with its time.
        let all = elections(&request);
        let in_time = request.slice_limit().map_or(all, |limit| {
            let each = self.server.for_each_key.as_nanos().max(1);
            usize::try_from(limit.as_nanos() / each).unwrap_or(all)
        });
        let (mut reached, mut refused) = (all.min(in_time), None);
        if !self.calm {
            if self.chance.one_in(4) {
                reached = self.chance.whole(1, reached.max(1) as u64) as usize;
            }
            if self.chance.one_in(64) {
                refused = Some(self.chance.below(reached.max(1) as u64) as usize);
            }
        }
        let part = Part::of(&request, reached, refused);
        let campaign = match &part.request {
            Request::Campaign(bids) => {
                Some(self.server.postgres.begin_campaign(now, pid, &bids.of))
            }
            _ => {
                self.server.postgres.touch(now, pid);
                None
            }
        };
        let keys = u32::try_from(elections(&part.request)).unwrap_or(u32::MAX);
        if elections(&part.request) < all {
            self.coverage.answer_of_a_part();
        }
        desk.under_way = Some((part, campaign));
        let takes =
            self.service(Duration::from_micros(20)) + nanos(self.server.for_each_key * keys);
        let limit = self.server.clock.lasts(limit);
        let event = Event::Executes {
            pid,
            in_time: takes <= limit,
        };
        self.queue.plan(self.now + takes.min(limit), event);
    }

    pub(super) fn executes(&mut self, pid: Pid, in_time: bool) {
        let now = self.server_now();
        let Some(desk) = self.server.desks.get_mut(&pid) else {
            return;
        };
        let Some((part, campaign)) = desk.under_way.take() else {
            return;
        };
        let request = part.request.clone();
        let (cid, who) = (
            desk.cid,
            Who {
                host: desk.host,
                life: desk.life,
            },
        );
        self.server.executed += 1;
        let locked = matches!(request, Request::Announce(_)) && self.chance.one_in(16);
        let answer = if !in_time {
            self.server.postgres.touch(now, pid);
            Err(Refusal("canceling statement due to statement timeout"))
        } else if locked {
            // Another transaction of the database commits its notification just now.
            self.server.postgres.touch(now, pid);
            Err(Refusal("canceling statement due to lock timeout"))
        } else {
            match campaign {
                Some(campaign) => campaign
                    .and_then(|campaign| self.server.postgres.finish_campaign(now, pid, campaign)),
                None => self.server.postgres.execute(now, pid, &request),
            }
        };
        let answer = answer.map(|answer| part.answer(answer));
        if self.flaw == Some(Flaw::HeartbeatWrites)
            && let Request::Heartbeat(elections) = &request
            && let Some(&election) = elections.first()
        {
            let write = match self.server.executed % 2 {
                0 => self.rejoin(who.host, election),
                _ => Some(Request::Leave(slice(election))),
            };
            if let Some(write) = write {
                let _ = self.server.postgres.execute(now, pid, &write);
            }
        }
        self.coverage.request(&request);
        self.record(who, &request, &answer);
        let mut told = vec![];
        if let Ok(answer) = &answer {
            self.coverage.answer(answer);
            let named = all_told(answer, self.server.postgres.tables()).into_iter();
            told.extend(named.filter_map(|(name, term)| Some((key(&name)?, term))));
        }
        self.deliver(cid, End::Client, Packet::Answer { answer, told });
        self.words();
        self.work_desk(pid);
    }

    fn rejoin(&self, host: usize, election: Id) -> Option<Request> {
        let name = self.server.postgres.tables().name(election)?;
        Some(Request::Join(slice(Join {
            name: name.clone(),
            address: address(host),
            priority: self.hosts[host].priority,
            heard: Heard::default(),
        })))
    }

    fn key_of(&self, election: Id) -> Option<Key> {
        key(self.server.postgres.tables().name(election)?)
    }

    /// What the server did that is decided by.
    fn record(&mut self, who: Who, request: &Request, answer: &Result<Answer, Refusal>) {
        let Ok(answer) = answer else { return };
        for (election, term) in begun(answer) {
            if let Some(key) = self.key_of(election) {
                self.began(who, key, term);
            }
        }
        match (request, answer) {
            (Request::Release { leadership, .. }, _) => {
                for election in leadership {
                    if let Some(key) = self.key_of(*election) {
                        self.tell(Fact::Released { who, key });
                    }
                }
            }
            (Request::Vacate(vacates), Answer::Vacated(vacated)) => {
                for (election, _) in done(vacated).filter(|(_, done)| **done) {
                    let mut vacates = vacates.of.iter();
                    let vacate = vacates.find(|vacate| vacate.election == *election);
                    if let Some((key, vacate)) = self.key_of(*election).zip(vacate) {
                        let term = vacate.term;
                        self.tell(Fact::Vacated { who, key, term });
                    }
                }
            }
            _ => {}
        }
    }
}

impl World {
    fn began(&mut self, who: Who, key: Key, term: u64) {
        let known = self.known(key);
        self.tell(Fact::Began {
            who,
            key,
            term,
            known,
        });
    }

    /// The greatest term of which any process was told that lives and takes part on this server.
    fn known(&self, key: Key) -> u64 {
        let tables = self.server.postgres.tables();
        let election = name(key);
        let told = self.hosts.iter().filter_map(|host| {
            let running = host.running.as_ref()?;
            let connection = self.connections.get(&running.line.as_ref()?.cid)?;
            let pid = connection.pid.filter(|_| connection.server_open)?;
            tables.candidate_on(&election, pid)?;
            running.told.get(&key).copied()
        });
        told.max().unwrap_or(0)
    }
}

/// Of a single one.
fn slice<T>(of: T) -> Slice<T> {
    Slice {
        of: vec![of],
        limit: Duration::MAX,
    }
}

/// The secret of a process tells which life of its machine it is.
fn instance_of(host: usize, life: u32) -> Instance {
    (host as u64) << 32 | u64::from(life)
}

/// How many elections a request is about.
fn elections(request: &Request) -> usize {
    match request {
        Request::Join(slice) => slice.of.len(),
        Request::Campaign(slice) => slice.of.len(),
        Request::TakeOffice(slice) => slice.of.len(),
        Request::Vacate(slice) => slice.of.len(),
        Request::Read(slice) => slice.of.len(),
        Request::Heartbeat(of) | Request::Announce(of) => of.len(),
        Request::Leave(slice) | Request::EndFenced(slice) => slice.of.len(),
        Request::Ready(slice) | Request::BackendGone(slice) | Request::Evict(slice) => {
            slice.of.len()
        }
        Request::Release {
            leadership,
            succession,
            ..
        } => leadership.len() + succession.len(),
        Request::Prove => 0,
        Request::Counters => 1,
    }
}
