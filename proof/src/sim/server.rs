//! The server: what time its sessions take, and what happens to them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock::{Clock, NEVER, Time, nanos};
use super::fact::{Fact, Who};
use super::flaw::Flaw;
use super::network::{Cid, End, Packet};
use super::world::{Event, World};
use crate::engine::{Answer, Heard, Instant, Key, Office, Query, Try};
use crate::postgres::{Asker, Campaign, Cause, Instance, Pid, Postgres, Rank, Refusal, Tables};

/// So much longer does a statement take for each election that it is about, where they are few.
pub(super) const FOR_EACH_KEY: Duration = Duration::from_micros(100);

pub(super) struct Server {
    pub(super) postgres: Postgres,
    pub(super) clock: Clock,
    pub(super) for_each_key: Duration,
    pub(super) desks: BTreeMap<Pid, Desk>,
    /// No packet reaches it, and none comes from it.
    pub(super) unreachable: bool,
    pub(super) stalled_until: Time,
    pub(super) most_sessions: usize,
    pub(super) notifications: Notifications,
    /// What a standby has got so far.
    pub(super) standby: Tables,
    pub(super) strangers: Vec<Pid>,
    pub(super) executed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notifications {
    AtOnce,
    Late,
    Lost,
}

/// What a backend has to do.
pub(super) struct Desk {
    pub(super) cid: Cid,
    pub(super) host: usize,
    instance: Instance,
    rank: Rank,
    direct: bool,
    requests: VecDeque<Request>,
    pub(super) under_way: Option<(Request, Option<Campaign>)>,
    pub(super) opening: bool,
    /// The client's end is closed: it ends when it next reads.
    pub(super) hung_up: bool,
    pub(super) idle_at: Time,
    pub(super) idle_number: u64,
}

pub(super) struct Request {
    sent: Instant,
    query: Query,
    follows: Vec<Key>,
}

impl Server {
    pub(super) fn new(clock: Clock, flaw: Option<Flaw>) -> Server {
        let postgres = Postgres::new(flaw.and_then(Flaw::of_postgres)).without_lagging();
        Server {
            standby: postgres.tables().clone(),
            postgres,
            clock,
            for_each_key: FOR_EACH_KEY,
            desks: BTreeMap::new(),
            unreachable: false,
            stalled_until: 0,
            most_sessions: usize::MAX,
            notifications: Notifications::AtOnce,
            strangers: vec![],
            executed: 0,
        }
    }
}

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
            Packet::Request {
                sent,
                query,
                follows,
            } => {
                let Some(connection) = self.connections.get(&cid) else {
                    return;
                };
                let pid = connection.pid.filter(|_| connection.server_open);
                let desk = pid.and_then(|pid| Some((pid, self.server.desks.get_mut(&pid)?)));
                let Some((pid, desk)) = desk else {
                    return self.deliver(cid, End::Client, Packet::Fin);
                };
                desk.requests.push_back(Request {
                    sent,
                    query,
                    follows,
                });
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
        let pid = match self.server.postgres.connect(now, host.ticks_by.patience()) {
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
        let instance = instance_of(connection.host, connection.life);
        let rank = Rank {
            address: connection.host as u32,
            priority: self.hosts[connection.host].priority,
        };
        let direct = connection.direct;
        let desk = Desk {
            cid,
            host: connection.host,
            instance,
            rank,
            direct,
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
        let rank = desk.rank;
        let asker = Asker {
            rank,
            pid,
            instance: desk.instance,
            direct: desk.direct,
            timings: &self.hosts[desk.host].ticks_by,
            follows: &request.follows,
        };
        let campaign = match &request.query {
            Query::Campaign {
                keys,
                successor_of,
                overdue,
                heard,
            } => {
                Some(
                    self.server
                        .postgres
                        .campaign(now, &asker, keys, successor_of, overdue, heard),
                )
            }
            _ => {
                self.server.postgres.touch(now, pid);
                None
            }
        };
        let keys = request
            .query
            .keys()
            .unwrap_or_else(|| request.follows.clone());
        let keys = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        desk.under_way = Some((request, campaign));
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
        let Some((request, campaign)) = desk.under_way.take() else {
            return;
        };
        let (cid, host, rank) = (desk.cid, desk.host, desk.rank);
        let asker = Asker {
            rank,
            pid,
            instance: desk.instance,
            direct: desk.direct,
            timings: &self.hosts[host].ticks_by,
            follows: &request.follows,
        };
        self.server.executed += 1;
        let answer = if in_time {
            match campaign {
                Some(campaign) => Ok(self.server.postgres.finish_campaign(now, &asker, campaign)),
                None => self.server.postgres.execute(now, &asker, &request.query),
            }
        } else {
            self.server.postgres.touch(now, pid);
            Err(Refusal("canceling statement due to statement timeout"))
        };
        if self.flaw == Some(Flaw::HeartbeatWrites)
            && let Query::Heartbeat { keys } = &request.query
            && let Some(&key) = keys.first()
        {
            let write = match self.server.executed % 2 {
                0 => Query::Join {
                    key,
                    heard: Heard::default(),
                },
                _ => Query::Leave { key },
            };
            let _ = self.server.postgres.execute(now, &asker, &write);
        }
        self.coverage.query(&request.query);
        self.record(
            host,
            asker_instance(&self.server.desks, pid),
            &request.query,
            &answer,
        );
        if let Ok(answer) = &answer {
            self.coverage.answer(answer);
        }
        let sent = request.sent;
        self.deliver(cid, End::Client, Packet::Answer { sent, answer });
        self.words();
        self.work_desk(pid);
    }

    /// What the server did that is decided by.
    fn record(
        &mut self,
        host: usize,
        instance: Instance,
        query: &Query,
        answer: &Result<Answer, Refusal>,
    ) {
        let who = Who {
            host,
            life: life_of(instance),
        };
        match (query, answer) {
            (_, Ok(Answer::Campaigned { tries })) => {
                for (key, tried) in tries {
                    if let Try::Began { term } = tried {
                        let (key, term) = (*key, *term);
                        self.began(who, key, term);
                    }
                }
            }
            (
                _,
                Ok(Answer::Office {
                    key,
                    office: Office::Began { term },
                }),
            ) => {
                let (key, term) = (*key, *term);
                self.began(who, key, term);
            }
            (Query::Release { leadership, .. }, Ok(_)) => {
                for &key in leadership {
                    self.tell(Fact::Released { who, key });
                }
            }
            (Query::Vacate { key, term, .. }, Ok(Answer::Vacated { done: true, .. })) => {
                let (key, term) = (*key, *term);
                self.tell(Fact::Vacated { who, key, term });
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
        let told = self.hosts.iter().filter_map(|host| {
            let running = host.running.as_ref()?;
            let connection = self.connections.get(&running.line.as_ref()?.cid)?;
            tables.candidate_on(key.0, connection.pid.filter(|_| connection.server_open)?)?;
            running.told.get(&key).copied()
        });
        told.max().unwrap_or(0)
    }
}

/// The secret of a process tells which life of its machine it is.
fn instance_of(host: usize, life: u32) -> Instance {
    (host as u64) << 32 | u64::from(life)
}

fn life_of(instance: Instance) -> u32 {
    (instance & u64::from(u32::MAX)) as u32
}

fn asker_instance(desks: &BTreeMap<Pid, Desk>, pid: Pid) -> Instance {
    desks.get(&pid).map_or(0, |desk| desk.instance)
}
