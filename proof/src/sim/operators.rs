//! Operators' levers, and whoever locks what they write to.

use super::fault::Fault;
use super::world::World;
use crate::engine::Key;

/// What operators have forbidden so far, and will permit again.
#[derive(Default)]
pub(super) struct Forbidden {
    suspended: Vec<Key>,
    excluded: Vec<(Key, u32)>,
}

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
                self.server.postgres.suspend(key.0);
                self.forbidden.suspended.push(key);
            }
            Fault::Exclude => {
                let leader = self.worker(key).filter(|_| self.chance.one_in(2));
                let host = self.chance.below(self.hosts.len() as u64) as usize;
                let address = leader.unwrap_or(host) as u32;
                self.server.postgres.exclude(key.0, address);
                self.forbidden.excluded.push((key, address));
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
                self.server.postgres.resume(key.0);
            }
            Fault::Exclude if !self.forbidden.excluded.is_empty() => {
                let (key, address) = self.forbidden.excluded.remove(0);
                self.server.postgres.include(key.0, address);
            }
            _ => self.server.postgres.lock_requests(false),
        }
        self.words();
    }

    /// A lagging standby may bring back what was permitted long ago, and operators see to it.
    pub(super) fn permit_all(&mut self) {
        for key in self.elections.clone() {
            self.server.postgres.resume(key.0);
            for address in 0..self.hosts.len() as u32 {
                self.server.postgres.include(key.0, address);
            }
        }
        self.words();
    }

    /// The next term is to be that machine's.
    pub(super) fn transfer(&mut self, key: Key, host: usize) -> bool {
        let now = self.server.clock.at(self.now);
        let asked =
            self.server.postgres.is_up() && self.server.postgres.transfer(now, key.0, host as u32);
        self.words();
        asked
    }
}
