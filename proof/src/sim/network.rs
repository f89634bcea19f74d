//! Connections between machines and the server: each direction delivers in order, late, or not at all.

use std::time::Duration;

use super::clock::{Time, nanos};
use super::connection::{Cid, Connection, End, Lane, Packet};
use super::fault::Fault;
use super::host::Arrival;
use super::world::{Event, World};

impl World {
    pub(super) fn dial(&mut self, host: usize) -> Cid {
        let machine = &self.hosts[host];
        self.dialled += 1;
        let connection = Connection {
            host,
            life: machine.life,
            direct: machine.direct,
            pid: None,
            client_open: true,
            server_open: false,
            to_server: Lane::default(),
            to_client: Lane::default(),
        };
        self.connections.insert(self.dialled, connection);
        self.deliver(self.dialled, End::Server, Packet::Startup);
        self.dialled
    }

    /// Send a packet to an end of a connection. It is held while the path is cut.
    pub(super) fn deliver(&mut self, cid: Cid, to: End, packet: Packet) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        let host = &self.hosts[connection.host];
        let slow = host.path.slow;
        let (cut, lane, patience) = match to {
            End::Server => (
                host.path.cut_up || host.is_silent() || self.server.unreachable,
                &mut connection.to_server,
                host.clock.lasts(host.patience_of_tcp()),
            ),
            End::Client => (
                host.path.cut_down || host.is_silent(),
                &mut connection.to_client,
                self.server.clock.lasts(host.patience_of_tcp()),
            ),
        };
        if cut || !lane.held.is_empty() {
            if lane.held_since.is_none() {
                lane.held_since = Some(now);
                let at = now + patience;
                self.queue.plan(
                    at,
                    Event::GiveUp {
                        cid,
                        to,
                        since: now,
                    },
                );
            }
            lane.held.push_back(packet);
            return;
        }
        let least = if slow {
            host.distance * 20
        } else {
            host.distance
        };
        let latency = self.chance.heavy(least, self.longest_latency);
        let at = (now + nanos(latency)).max(lane.last + 1);
        lane.last = at;
        self.queue.plan(at, Event::Arrives { cid, to, packet });
    }

    /// The path is open again: what was held goes on its way, in order.
    pub(super) fn release_held(&mut self, host: usize) {
        let cids: Vec<Cid> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.host == host)
            .map(|(&cid, _)| cid)
            .collect();
        for cid in cids {
            for to in [End::Server, End::Client] {
                let Some(connection) = self.connections.get_mut(&cid) else {
                    continue;
                };
                let lane = connection.lane(to);
                lane.held_since = None;
                let held = std::mem::take(&mut lane.held);
                for packet in held {
                    self.deliver(cid, to, packet);
                }
            }
        }
    }

    /// A packet could not be delivered for too long: its sender's kernel gives the connection up.
    pub(super) fn give_up(&mut self, cid: Cid, to: End, since: Time) {
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        if connection.lane(to).held_since != Some(since) {
            return;
        }
        connection.lane(to).held.clear();
        connection.lane(to).held_since = None;
        match to {
            End::Server => self.end_client(cid),
            End::Client => self.server_hears_end(cid),
        }
    }

    pub(super) fn arrives(&mut self, cid: Cid, to: End, packet: Packet) {
        let Some(connection) = self.connections.get(&cid) else {
            return;
        };
        match to {
            End::Server => self.arrives_at_server(cid, packet),
            End::Client if !connection.client_open => {
                // Nobody there: the kernel answers with a reset.
                if !matches!(packet, Packet::Fin) {
                    self.deliver(cid, End::Server, Packet::Fin);
                }
            }
            End::Client => {
                let (host, life) = (connection.host, connection.life);
                let arrival = match packet {
                    Packet::Opened => Arrival::Opened(cid),
                    Packet::Refused => Arrival::NotOpened(cid),
                    Packet::Answer { answer, told } => Arrival::Reply { cid, answer, told },
                    Packet::Notification(notification) => Arrival::Notified { cid, notification },
                    Packet::Fin | Packet::Startup | Packet::Request(_) => {
                        return self.end_client(cid);
                    }
                };
                self.arrive(host, life, arrival);
            }
        }
        self.forget_connection(cid);
    }

    /// The client's kernel tells its process that the connection is over. Its socket stays until it is closed.
    fn end_client(&mut self, cid: Cid) {
        let Some(connection) = self.connections.get(&cid) else {
            return;
        };
        let (host, life) = (connection.host, connection.life);
        let running = self.hosts[host].running.as_ref();
        let opening = running.is_some_and(|running| running.opening == Some(cid));
        let arrival = if opening {
            Arrival::NotOpened(cid)
        } else {
            Arrival::Ended(cid)
        };
        self.arrive(host, life, arrival);
    }

    /// The client lets go of a connection. Work that runs on it keeps the socket open.
    pub(super) fn let_go(&mut self, cid: Cid) {
        let Some(connection) = self.connections.get(&cid) else {
            return;
        };
        let host = &self.hosts[connection.host];
        let same = host.life == connection.life;
        let running = host.running.as_ref().filter(|_| same);
        let used = running.is_some_and(|running| {
            running.opening == Some(cid)
                || running.line.as_ref().is_some_and(|line| line.cid == cid)
                || running.works_on(cid) && !self.socket_is_let_go_early()
        });
        if !used {
            self.close_client(cid);
        }
    }

    /// The last descriptor of the client's socket is gone.
    pub(super) fn close_client(&mut self, cid: Cid) {
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        if connection.client_open {
            connection.client_open = false;
            self.deliver(cid, End::Server, Packet::Fin);
        }
        self.forget_connection(cid);
    }

    pub(super) fn forget_connection(&mut self, cid: Cid) {
        if let Some(connection) = self.connections.get(&cid)
            && !connection.client_open
            && !connection.server_open
            && connection.to_server.held.is_empty()
            && connection.to_server.last <= self.now
        {
            self.connections.remove(&cid);
        }
    }

    /// A proxy closes the connections that it carries: the server hears it at once, the client when it can.
    pub(super) fn proxy_dies(&mut self) -> bool {
        let carried = self.connections.iter();
        let cids: Vec<Cid> = carried
            .filter(|(_, connection)| !connection.direct && connection.server_open)
            .map(|(&cid, _)| cid)
            .collect();
        for &cid in &cids {
            self.server_hears_end(cid);
            self.deliver(cid, End::Client, Packet::Fin);
        }
        !cids.is_empty()
    }

    pub(super) fn cut(&mut self, host: usize, fault: Fault, cut: bool) {
        let path = &mut self.hosts[host].path;
        match fault {
            Fault::CutToServer => path.cut_up = cut,
            Fault::CutFromServer => path.cut_down = cut,
            Fault::SlowNetwork => path.slow = cut,
            _ => {
                path.cut_up = cut;
                path.cut_down = cut;
            }
        }
        if !cut {
            self.release_held(host);
        }
    }

    /// A connection that is not there yet after so long is given up.
    pub(super) fn connect_limit(&self, host: usize) -> u64 {
        self.hosts[host].clock.lasts(Duration::from_secs(5))
    }
}
