//! Operators' levers, and whoever locks what they write to.

use super::elections::{address, name};
use super::fault::Fault;
use super::world::World;
use crate::engine::Key;

impl World {
    /// Somebody may not lead, or nobody, or nobody knows.
    pub(super) fn forbid(&mut self, fault: Fault) -> bool {
        let elections = self.elections.clone();
        let Some(&key) = self.chance.pick(&elections) else {
            return false;
        };
        if !self.server.postgres.is_up() {
            return false;
        }
        match fault {
            Fault::Suspend => {
                self.server.postgres.suspend(&name(key));
                self.forbidden.suspended.push(key);
            }
            Fault::Exclude => {
                let leader = self.worker(key).filter(|_| self.chance.one_in(2));
                let host = self.chance.below(self.hosts.len() as u64) as usize;
                let host = leader.unwrap_or(host);
                self.server.postgres.exclude(&name(key), &address(host));
                self.forbidden.excluded.push((key, host));
            }
            _ => self.server.postgres.lock_requests(true),
        }
        self.words();
        true
    }

    /// The oldest of what was forbidden so is permitted again.
    pub(super) fn permit(&mut self, fault: Fault) {
        match fault {
            Fault::Suspend if !self.forbidden.suspended.is_empty() => {
                let key = self.forbidden.suspended.remove(0);
                self.server.postgres.resume(&name(key));
            }
            Fault::Exclude if !self.forbidden.excluded.is_empty() => {
                let (key, host) = self.forbidden.excluded.remove(0);
                self.server.postgres.include(&name(key), &address(host));
            }
            _ => self.server.postgres.lock_requests(false),
        }
        self.words();
    }

    /// A lagging standby may bring back what was permitted long ago, and operators see to it.
    pub(super) fn permit_all(&mut self) {
        for key in self.elections.clone() {
            self.server.postgres.resume(&name(key));
            for host in 0..self.hosts.len() {
                self.server.postgres.include(&name(key), &address(host));
            }
        }
        self.words();
    }

    /// The next term is to be that machine's.
    pub(super) fn transfer(&mut self, key: Key, host: usize) -> bool {
        let now = self.server.clock.at(self.now);
        let postgres = &mut self.server.postgres;
        let asked = postgres.is_up() && postgres.transfer(now, &name(key), &address(host));
        self.words();
        asked
    }
}
