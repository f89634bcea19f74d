//! Another host of the connection string that now and then accepts writes too, and is led.
//!
//! Few worlds have one, and it draws from a chance of its own, so that the others are what they are without it.
//! As with the shipped lookout, processes look before they connect, soon after, each retry interval,
//! and each half lease while it accepts writes; one that is cut off sees nothing, and goes by what it has seen.

use super::clock::nanos;
use super::connection::Cid;
use super::fact::Fact;
use super::fault::Fault;
use super::flaw::Flaw;
use super::other_host::Led;
use super::world::{Event, World};
use crate::engine::{Input, Key};

impl World {
    /// The first look of a process.
    pub(super) fn begin_to_look(&mut self, host: usize) {
        if self.second.is_some() {
            let life = self.hosts[host].life;
            let at = self.now + self.between_looks(host);
            self.queue.plan(at, look(host, life, true));
        }
    }

    fn between_looks(&self, host: usize) -> u64 {
        let machine = &self.hosts[host];
        let led = self
            .second
            .as_ref()
            .is_some_and(|second| second.led.is_some());
        let interval = if led {
            machine.timings.contested_look_interval()
        } else {
            machine.timings.retry_interval
        };
        machine.clock.lasts(interval)
    }

    /// Now and then, while a storm lasts.
    pub(super) fn strike_beside(&mut self) {
        let lease = self.longest_lease();
        let calm = self.calm;
        let Some(second) = self.second.as_mut().filter(|_| !calm) else {
            return;
        };
        let lasts = second.chance.any_scale(lease / 20, lease * 10);
        let next = second.chance.any_scale(lease / 20, lease * 10);
        self.strike(Fault::AnotherHostLed, 0, lasts);
        let at = self.now + nanos(next);
        self.queue.plan(at, Event::StrikesBeside);
    }

    pub(super) fn another_host_is_led(&mut self) -> bool {
        let elections = self.elections.clone();
        let Some(second) = self.second.as_mut().filter(|second| second.led.is_none()) else {
            return false;
        };
        let chance = &mut second.chance;
        second.led = Some(Led {
            higher: chance.one_in(2),
            keys: elections
                .into_iter()
                .filter(|_| chance.percent(70))
                .collect(),
        });
        true
    }

    /// It is stopped, and those who have gone there come back.
    pub(super) fn another_host_is_gone(&mut self) {
        if let Some(second) = self.second.as_mut() {
            second.led = None;
        }
        for host in 0..self.hosts.len() {
            let life = self.hosts[host].life;
            let running = self.hosts[host].running.as_mut();
            if let Some(cid) = running.and_then(|running| running.away.take()) {
                self.arrive(host, life, super::host::Arrival::NotOpened(cid));
            }
        }
    }

    /// Whether a process connects to the other host, and so not here.
    pub(super) fn connects_elsewhere(&mut self, host: usize) -> bool {
        let sees = self.sees(host);
        let led = self.second.as_ref().and_then(|second| second.led.as_ref());
        if !sees || !led.is_some_and(|led| led.higher) {
            return false;
        }
        self.dialled += 1;
        let cid: Cid = self.dialled;
        if let Some(running) = self.hosts[host].running.as_mut() {
            (running.opening, running.away) = (Some(cid), Some(cid));
        }
        true
    }

    fn sees(&self, host: usize) -> bool {
        let machine = &self.hosts[host];
        !(machine.path.cut_up || machine.path.cut_down || machine.is_silent())
    }

    /// A session has been opened: nothing begins on it before a look, where the other host was seen.
    pub(super) fn opened_beside(&mut self, host: usize) {
        if self.second.is_none() {
            return;
        }
        let contested = self.see(host);
        let life = self.hosts[host].life;
        let told = contested && self.flaw != Some(Flaw::BlindToOtherHosts);
        let looked = Input::Looked {
            contested: told,
            higher: false,
            held: vec![],
            clear: vec![],
        };
        self.handle(host, looked);
        if contested {
            let soon = self.now + nanos(self.hosts[host].timings.lease / 50);
            self.queue.plan(soon, look(host, life, false));
        }
    }

    pub(super) fn looks_beside(&mut self, host: usize, life: u32, again: bool) {
        let running = self.hosts[host].running.as_ref();
        let Some(running) = running.filter(|_| self.hosts[host].life == life) else {
            return;
        };
        if running.line.is_some() && running.halted.is_none() && self.sees(host) {
            self.look_beside(host);
        }
        if again {
            let at = self.now + self.between_looks(host);
            self.queue.plan(at, look(host, life, true));
        }
    }

    fn look_beside(&mut self, host: usize) {
        let contested = self.see(host);
        let led = self.second.as_ref().and_then(|second| second.led.clone());
        let stands_in = self.stands_in(host);
        let is_held = |key: &Key| led.as_ref().is_some_and(|led| led.keys.contains(key));
        let (held, clear) = stands_in.into_iter().partition(is_held);
        let higher = led.as_ref().is_some_and(|led| led.higher);
        if self.flaw == Some(Flaw::BlindToOtherHosts) {
            return;
        }
        self.handle(
            host,
            Input::Looked {
                contested,
                higher: higher && self.flaw != Some(Flaw::StaysBelow),
                held,
                clear,
            },
        );
    }

    /// From here a process knows what there is. Whether the other host accepts writes.
    fn see(&mut self, host: usize) -> bool {
        let who = self.hosts[host].who(host);
        let led = self.second.as_ref().and_then(|second| second.led.clone());
        let keys = led.as_ref().map_or(vec![], |led| led.keys.clone());
        let higher = led.as_ref().is_some_and(|led| led.higher);
        // More than the clocks may differ by.
        let by = higher.then(|| self.after(self.hosts[host].timings.lease * 11 / 10));
        let Some(running) = self.hosts[host].running.as_mut() else {
            return false;
        };
        let changed = running.saw != (keys.clone(), higher);
        running.saw = (keys.clone(), higher);
        if changed {
            self.tell(Fact::Saw { who, keys, by });
        }
        led.is_some()
    }
}

fn look(host: usize, life: u32, again: bool) -> Event {
    Event::LooksBeside { host, life, again }
}
