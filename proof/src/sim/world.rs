//! The world: everything that there is, and what happens next.

use std::time::Duration;

use super::chance::Chance;
use super::clock::{NEVER, Time};
use super::connection::{Cid, Connections, End, Packet};
use super::coverage::Coverage;
use super::fact::{Fact, Who};
use super::fault::Fault;
use super::flaw::Flaw;
use super::history::History;
use super::host::{Arrival, Host, Running};
use super::invariants::{Broken, Invariants};
use super::other_host::Second;
use super::phase::Round;
use super::primary::Server;
use super::queue::Queue;
use crate::engine::{Input, Key};
use crate::machine::Make;
use crate::postgres::Pid;

pub(super) struct World {
    pub(super) now: Time,
    pub(super) chance: Chance,
    pub(super) queue: Queue<Event>,
    pub(super) hosts: Vec<Host>,
    pub(super) server: Server,
    /// Another host of the connection string.
    pub(super) second: Option<Second>,
    pub(super) connections: Connections,
    /// How many connections there were.
    pub(super) dialled: Cid,
    pub(super) elections: Vec<Key>,
    /// What may go wrong in this world.
    pub(super) faults: Vec<Fault>,
    /// What goes wrong now, and will be over.
    pub(super) ongoing: Vec<(u64, Fault, Option<usize>)>,
    pub(super) forbidden: Forbidden,
    pub(super) struck: u64,
    pub(super) round: Round,
    /// Nothing goes wrong by itself: work runs until it is told to stop.
    pub(super) calm: bool,
    /// Whether work sends fenced transactions.
    pub(super) fences: bool,
    /// The slowest and the fastest clock that there may be.
    pub(super) rates: (u64, u64),
    /// The longest latency in calm and in a storm.
    pub(super) latencies: (Duration, Duration),
    pub(super) longest_latency: Duration,
    pub(super) longest_transaction: Duration,
    pub(super) wake_latency: Duration,
    pub(super) flaw: Option<Flaw>,
    /// Makes the engines of its processes.
    pub(super) make: Make,
    pub(super) history: History,
    pub(super) coverage: Coverage,
    pub(super) invariants: Invariants,
    pub(super) broken: Option<Broken>,
    /// What came too late, where nobody promises that it comes in time.
    pub(super) late: Option<String>,
}

/// What operators have forbidden so far, and will permit again.
#[derive(Default)]
pub(super) struct Forbidden {
    pub(super) suspended: Vec<Key>,
    pub(super) excluded: Vec<(Key, usize)>,
}

/// What happens.
pub(super) enum Event {
    Wake {
        host: usize,
        life: u32,
        number: u64,
    },
    /// A process that was halted looks at its clock.
    Looks {
        host: usize,
        life: u32,
    },
    Arrival {
        host: usize,
        life: u32,
        arrival: Arrival,
    },
    ConnectLimit {
        host: usize,
        life: u32,
        cid: Cid,
    },
    Exits {
        host: usize,
        life: u32,
    },
    Arrives {
        cid: Cid,
        to: End,
        packet: Packet,
    },
    GiveUp {
        cid: Cid,
        to: End,
        since: Time,
    },
    Says {
        cid: Cid,
        packet: Packet,
    },
    Opens {
        pid: Pid,
    },
    Executes {
        pid: Pid,
        in_time: bool,
    },
    Idle {
        pid: Pid,
        number: u64,
    },
    LeavesList {
        pid: Pid,
    },
    Commits {
        transaction: u64,
        key: Key,
        term: u64,
    },
    Copies,
    Strikes,
    StrikesBeside,
    /// A process has looked at the other host, from this session.
    LooksBeside {
        host: usize,
        life: u32,
        cid: Cid,
    },
    Over {
        struck: u64,
    },
    Round,
}

impl World {
    /// Let everything happen until `until`, or until an invariant is broken.
    pub(super) fn run(&mut self, until: Time) {
        while self.broken.is_none()
            && self.late.is_none()
            && let Some((at, event)) = self.queue.next()
        {
            if at > until {
                break;
            }
            self.now = at;
            self.happens(event);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Wake { host, life, number } => self.wake(host, life, number),
            Event::Looks { host, life } => self.looks(host, life),
            Event::Arrival {
                host,
                life,
                arrival,
            } => self.arrive(host, life, arrival),
            Event::ConnectLimit { host, life, cid } => {
                self.arrive(host, life, Arrival::NotOpened(cid));
            }
            Event::Exits { host, life } => {
                if self.hosts[host].life == life {
                    self.kill(host, "it has shut down");
                }
            }
            Event::Arrives { cid, to, packet } => self.arrives(cid, to, packet),
            Event::GiveUp { cid, to, since } => self.give_up(cid, to, since),
            Event::Says { cid, packet } => self.deliver(cid, End::Client, packet),
            Event::Opens { pid } => self.opens(pid),
            Event::Executes { pid, in_time } => self.executes(pid, in_time),
            Event::Idle { pid, number } => self.idle(pid, number),
            Event::LeavesList { pid } => self.server.postgres.leave_list(pid),
            Event::Commits {
                transaction,
                key,
                term,
            } => self.commits(transaction, key, term),
            Event::Copies => self.copy_to_standby(),
            Event::Strikes => self.strike_next(),
            Event::StrikesBeside => self.strike_beside(),
            Event::LooksBeside { host, life, cid } => self.looks_beside(host, life, cid),
            Event::Over { struck } => self.over(struck),
            Event::Round => self.next_phase(),
        }
    }

    /// Something is true from now on: kept for the timeline, and decided by.
    pub(super) fn tell(&mut self, fact: Fact) {
        match self.invariants.observe(self.now, &fact) {
            Some(broken) if broken.is_late && self.is_overcrowded() => {
                self.late.get_or_insert(broken.why);
            }
            Some(broken) => {
                self.broken.get_or_insert(broken);
            }
            None => {}
        }
        self.coverage.fact(self.now, &fact);
        self.history.add(self.now, fact);
    }

    /// A process starts, and becomes a candidate where it is told to.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].running.is_some() {
            return;
        }
        let seed = self.chance.bits() | 1;
        let machine = &mut self.hosts[host];
        machine.life += 1;
        let engine = (self.make)(machine.setup(), seed);
        machine.running = Some(Running::new(engine));
        machine.runtime_blocked_until = 0;
        let who = machine.who(host);
        let keys = machine.takes_part.clone();
        self.tell(Fact::Lives { who });
        self.arrive(host, who.life, Arrival::Timer);
        for key in keys {
            self.enter(host, key);
        }
    }

    /// The application becomes a candidate.
    pub(super) fn enter(&mut self, host: usize, key: Key) {
        let who = self.hosts[host].who(host);
        self.tell(Fact::Entered { who, key });
        let join = self.join(host, key);
        self.asks(host, join);
    }

    /// The application does not want to be a candidate any more.
    pub(super) fn want_out(&mut self, host: usize, key: Key) {
        let who = self.hosts[host].who(host);
        self.tell(Fact::WantedOut { who, key });
        if let Some(leave) = self.leave(host, key) {
            self.asks(host, leave);
        }
    }

    /// The application asks for something, at once.
    pub(super) fn asks(&mut self, host: usize, input: Input) {
        let life = self.hosts[host].life;
        self.arrive(host, life, Arrival::Asked(input));
    }

    /// A process is gone, and its kernel closes what it had open.
    pub(super) fn kill(&mut self, host: usize, how: &'static str) {
        let who = self.hosts[host].who(host);
        if self.hosts[host].running.take().is_none() {
            return;
        }
        self.tell(Fact::Died { who, how });
        for cid in self.connections_of(who) {
            self.close_client(cid);
        }
    }

    pub(super) fn connections_of(&self, who: Who) -> Vec<Cid> {
        self.connections
            .iter()
            .filter(|(_, connection)| {
                connection.host == who.host && connection.life == who.life && connection.client_open
            })
            .map(|(&cid, _)| cid)
            .collect()
    }

    /// The standby gets what there is; the next time somewhat later.
    fn copy_to_standby(&mut self) {
        self.server.standby = self.server.postgres.tables().clone();
        let lease = self.longest_lease();
        let lag = self.chance.any_scale(lease / 20, lease * 10);
        self.queue
            .plan(self.now + super::clock::nanos(lag), Event::Copies);
    }

    pub(super) fn socket_is_let_go_early(&self) -> bool {
        self.flaw == Some(Flaw::SocketLetGoEarly)
    }

    /// Who leads an election as far as its own work tells, and is not halted.
    pub(super) fn worker(&self, key: Key) -> Option<usize> {
        self.hosts.iter().position(|host| {
            let running = host.running.as_ref();
            let candidate = running.and_then(|running| running.elections.get(&key));
            let office = candidate.and_then(|candidate| candidate.office.as_ref());
            office.is_some_and(|office| office.running)
        })
    }

    /// The moment at which `duration` has passed on every clock.
    pub(super) fn after(&self, duration: Duration) -> Time {
        let clocks = self.hosts.iter().map(|host| &host.clock);
        let lasts = clocks
            .chain([&self.server.clock])
            .map(|clock| clock.lasts(duration))
            .max();
        self.now.saturating_add(lasts.unwrap_or(NEVER))
    }
}
