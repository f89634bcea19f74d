//! Liveness: from every state, once faults stop, some candidate leads.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Model;
use super::world::{Line, World};
use crate::protocol::Instant;

/// What is known of states without faults to come: how long it takes until some candidate leads.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    leads_within: HashMap<u64, Duration>,
    slowest: Duration,
}

/// A machine that wants to be woken again and again at the same moment would never get any further.
const MOST_STEPS: usize = 20_000;

impl Model {
    /// Whether some candidate leads, and goes on leading, when from now on nothing more goes wrong.
    ///
    /// The continuation: stopped processes go on, what was held up flows, a server that is down starts, a
    /// stranger lets go. Connections that were forgotten on the way stay so. From there everything happens
    /// in the usual order.
    pub(super) fn recovers(&self, world: &World) -> bool {
        if world.hosts.iter().all(|host| host.machine.is_none()) {
            return true;
        }
        let mut world = world.clone();
        self.heal(&mut world);
        let healed = world.now;
        let mut path: Vec<(u64, Instant)> = vec![];
        let mut leader = None;
        let mut since = world.now;
        let led_from = loop {
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
            if too_long || path.len() > MOST_STEPS {
                return false;
            }
            self.make(&mut world, super::Move::Go);
            if world.broken.is_some() {
                return true;
            }
        };
        let took = led_from.since(healed);
        self.known.learn(&path, led_from, took);
        took <= self.patience()
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
        use super::Move;
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
    }
}

impl Known {
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
