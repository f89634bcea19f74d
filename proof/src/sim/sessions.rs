//! What the server says to its sessions unasked, and how they end.

use std::time::Duration;

use super::clock::{NEVER, nanos};
use super::connection::{Cid, End, Packet};
use super::fact::Fact;
use super::flaw::Flaw;
use super::primary::Notifications;
use super::world::{Event, World};
use crate::engine::Notification;
use crate::postgres::{Cause, Pid, Word};

impl World {
    /// Carry what the server has to say to its sessions.
    pub(super) fn words(&mut self) {
        for (pid, word) in self.server.postgres.take_words() {
            match word {
                Word::Notification { by, election } => {
                    let Some(desk) = self.server.desks.get(&pid) else {
                        continue;
                    };
                    let cid = desk.cid;
                    let packet = Packet::Notification(Notification { pid: by, election });
                    match self.server.notifications {
                        Notifications::AtOnce => self.deliver(cid, End::Client, packet),
                        Notifications::Lost => {}
                        Notifications::Late => {
                            let late = self
                                .chance
                                .heavy(self.longest_latency / 4, self.longest_latency * 8);
                            let at = self.now + nanos(late);
                            self.queue.plan(at, Event::Says { cid, packet });
                        }
                    }
                }
                Word::End => {
                    let desk = self.server.desks.remove(&pid);
                    let cid = desk.map(|desk| desk.cid);
                    if let Some(cid) = cid
                        && let Some(connection) = self.connections.get_mut(&cid)
                    {
                        connection.server_open = false;
                        if !self.server.unreachable {
                            self.deliver(cid, End::Client, Packet::Fin);
                        }
                        self.forget_connection(cid);
                    }
                    self.plan_leaving(pid);
                }
            }
        }
    }

    /// An ended backend is counted, and leaves the list a little later.
    fn plan_leaving(&mut self, pid: Pid) {
        let (least, most) = (Duration::from_micros(50), Duration::from_millis(7));
        let counted = nanos(self.chance.heavy(least, most));
        let gone = counted + nanos(self.chance.heavy(least, most));
        for after in [counted, gone] {
            self.queue.plan(self.now + after, Event::LeavesList { pid });
        }
    }

    pub(super) fn server_hears_end(&mut self, cid: Cid) {
        if self.flaw == Some(Flaw::DeadSessionsStay) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&cid) else {
            return;
        };
        if !connection.server_open {
            return;
        }
        let Some(pid) = connection.pid else { return };
        let Some(desk) = self.server.desks.get_mut(&pid) else {
            return;
        };
        if desk.under_way.is_some() && !self.calm && self.chance.one_in(3) {
            // It could not send its answer. Then the end proves nothing, and the bounds of the calm do not hold.
            self.server.postgres.end(pid, Cause::Fatal);
            return self.words();
        }
        desk.hung_up = true;
        desk.opening = false;
        self.work_desk(pid);
    }

    pub(super) fn plan_idle(&mut self, pid: Pid) {
        let Some(deadline) = self.server.postgres.idle_deadline_of(pid) else {
            return;
        };
        let at = self.server.clock.when(deadline).max(self.now);
        let Some(desk) = self.server.desks.get_mut(&pid) else {
            return;
        };
        if at >= desk.idle_at {
            return;
        }
        desk.idle_at = at;
        desk.idle_number += 1;
        let number = desk.idle_number;
        self.queue.plan(at, Event::Idle { pid, number });
    }

    pub(super) fn idle(&mut self, pid: Pid, number: u64) {
        let deadline = self.server.postgres.idle_deadline_of(pid);
        let Some(desk) = self.server.desks.get_mut(&pid) else {
            return;
        };
        if desk.idle_number != number {
            return;
        }
        desk.idle_at = NEVER;
        if desk.under_way.is_some() || desk.opening {
            return;
        }
        let over = deadline.is_some_and(|at| self.server.clock.when(at) <= self.now);
        if over && self.flaw != Some(Flaw::DeadSessionsStay) {
            self.tell(Fact::Server {
                what: "a session was silent for too long",
            });
            self.server.postgres.end(pid, Cause::Fatal);
            return self.words();
        }
        if !over {
            self.plan_idle(pid);
        }
    }
}
