//! Another host of the connection string that now and then accepts writes too, and is led.
//!
//! Few worlds have one, and it draws from a chance of its own, so that the others are what they are without it.
//! Processes look before they connect, and when their engine wants it; one that is cut off sees nothing, and goes by
//! what it has seen.

use std::collections::BTreeSet;

use super::clock::nanos;
use super::connection::Cid;
use super::elections::name;
use super::fact::Fact;
use super::fault::Fault;
use super::flaw::Flaw;
use super::other_host::Led;
use super::world::{Event, World};
use crate::engine::{Input, Led as LedThere, Missed, Server, Sight, Surroundings, Survey};

impl World {
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

    /// What a session is told of where it has arrived.
    pub(super) fn surroundings(&mut self, host: usize) -> Option<Surroundings> {
        self.second.as_ref()?;
        self.see(host);
        let survey = self.survey(host);
        let own = own();
        Some(Surroundings { own, survey })
    }

    /// The engine wants to look.
    pub(super) fn begin_to_look(&mut self, host: usize) {
        let lease = self.hosts[host].timings.lease;
        let Some(second) = self.second.as_mut() else {
            return;
        };
        let takes = second.chance.any_scale(lease / 1000, lease / 4);
        let Some(line) = self.hosts[host]
            .running
            .as_ref()
            .and_then(|r| r.line.as_ref())
        else {
            return;
        };
        let (life, cid) = (self.hosts[host].life, line.cid);
        let at = self.now + nanos(takes);
        self.queue.plan(at, Event::LooksBeside { host, life, cid });
    }

    /// It is told what it sees, on the session that it looked from.
    pub(super) fn looks_beside(&mut self, host: usize, life: u32, cid: Cid) {
        let running = self.hosts[host].running.as_ref();
        let Some(running) = running.filter(|_| self.hosts[host].life == life) else {
            return;
        };
        if running.line.as_ref().is_none_or(|line| line.cid != cid) {
            return;
        }
        if running.halted.is_some() {
            // It stands still, and sees it once it wakes.
            return self.begin_to_look(host);
        }
        let survey = if self.sees(host) {
            self.see(host);
            self.survey(host)
        } else {
            Survey {
                sights: vec![],
                missed: [OWN, OTHER].map(|name| missed(name, false)).into(),
            }
        };
        let survey = Some(survey);
        let late = false;
        self.handle(host, Input::Looked { survey, late });
    }

    fn survey(&self, host: usize) -> Survey {
        let led = self.second.as_ref().and_then(|second| second.led.as_ref());
        let led = led.filter(|_| self.flaw != Some(Flaw::BlindToOtherHosts));
        let Some(led) = led else {
            return Survey {
                sights: vec![own()],
                missed: vec![missed(OTHER, true)],
            };
        };
        let higher = led.higher && self.flaw != Some(Flaw::StaysBelow);
        let running = self.hosts[host].running.as_ref();
        let names = running.into_iter().flat_map(|running| &running.elections);
        let held = names.filter(|(key, _)| led.keys.contains(key));
        let held = held.map(|(key, _)| name(*key).to_string()).collect();
        let other = sight(OTHER, 2, if higher { 3 } else { 1 }, held);
        Survey {
            sights: vec![own(), other],
            missed: vec![],
        }
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

const OWN: &str = "own";
const OTHER: &str = "other";

fn own() -> Sight {
    sight(OWN, 1, 2, BTreeSet::new())
}

fn missed(name: &str, refuses: bool) -> Missed {
    let name = name.to_owned();
    Missed { name, refuses }
}

fn sight(name: &str, started: i64, timeline: i64, elections: BTreeSet<String>) -> Sight {
    Sight {
        name: name.to_owned(),
        server: Server {
            system: Some(1),
            started,
        },
        standby: false,
        read_only: false,
        timeline: Some(timeline),
        held: Some(LedThere {
            elections,
            any: false,
        }),
    }
}
