//! Liveness: from every state, once faults stop, some candidate leads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::world::{Line, World};
use super::{LIVENESS, Model, Move};
use crate::engine::Instant;

/// What is known of states without faults to come: how long it takes until some candidate leads.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    leads_within: HashMap<u64, Duration>,
    slowest: Duration,
}

impl Model {
    /// How long it takes until some candidate leads, and goes on leading, when from now on nothing more goes
    /// wrong; or the property that is violated on the way.
    ///
    /// The continuation: stopped processes go on, what was held up flows, a server that is down starts, a
    /// stranger lets go. Connections that were forgotten on the way stay so. From there everything happens
    /// in the usual order.
    pub(super) fn outlook(&self, world: &World) -> Result<Duration, &'static str> {
        let mut world = world.clone();
        self.heal(&mut world);
        let healed = world.now;
        let mut path: Vec<(u64, Instant)> = vec![];
        let mut leader = None;
        let mut since = world.now;
        let led_from = loop {
            if let Some(property) = world.violated() {
                return Err(property);
            }
            // Invariant 6 wants a candidate that lives; work that cannot be dropped takes its process along.
            if world.hosts.iter().all(|host| host.machine.is_none()) {
                return Ok(Duration::ZERO);
            }
            let fingerprint = world.fingerprint();
            if let Some(within) = self.known.get(fingerprint) {
                break world.now + within;
            }
            path.push((fingerprint, world.now));
            let now_leads = world.leader();
            if now_leads.is_none() || now_leads != leader {
                (leader, since) = (now_leads, world.now);
            }
            if leader.is_some() && world.now.since(since) >= self.timings.lease * 2 {
                break since;
            }
            let too_long = world.now.since(healed) > self.patience() + self.timings.lease * 2;
            let stuck = self.pending(&world).is_none() && self.next_moment(&world).is_none();
            if too_long || stuck {
                return Err(LIVENESS);
            }
            self.make(&mut world, Move::Go);
        };
        let took = led_from.since(healed);
        self.known.learn(&path, led_from, took);
        if took <= self.patience() {
            Ok(took)
        } else {
            Err(LIVENESS)
        }
    }

    /// The bound: an orderly end's grace, the silence limit, a refractory period by the longest way, and the
    /// retry interval in which somebody looks.
    pub(super) fn patience(&self) -> Duration {
        let timings = &self.timings;
        timings.grace
            + timings.silence_limit
            + timings.lease
            + timings.retry_interval
            + timings.query_limit()
    }

    /// The longest that it took to have a leader again.
    pub(super) fn slowest_recovery(&self) -> Duration {
        self.known
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .slowest
    }

    /// Faults stop.
    pub(super) fn heal(&self, world: &mut World) {
        world.faults = u8::MAX;
        world.orders = 0;
        for index in 0..world.hosts.len() {
            if world.hosts[index].paused {
                self.make(world, Move::Wake(index));
            }
            world.hosts[index].stalled_up = false;
            world.hosts[index].stalled_down = false;
            let is_half = |line: &Line| line.host == index && line.half.is_some();
            if world.lines.values().any(is_half) {
                self.make(world, Move::Whole(index));
            }
        }
        if !world.server.is_up() {
            self.make(world, Move::Start);
        }
        if world.stranger.is_some() {
            self.make(world, Move::StrangerGoes);
        }
        if world.rival.is_some() {
            self.make(world, Move::RivalGoes);
        }
    }
}

impl Known {
    /// How many states were passed on the way to a leader.
    pub(super) fn states(&self) -> usize {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.leads_within.len()
    }

    fn get(&self, fingerprint: u64) -> Option<Duration> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.leads_within.get(&fingerprint).copied()
    }

    fn learn(&self, path: &[(u64, Instant)], led_from: Instant, took: Duration) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.slowest = memory.slowest.max(took);
        for &(fingerprint, at) in path {
            memory.leads_within.insert(fingerprint, led_from.since(at));
        }
    }
}
