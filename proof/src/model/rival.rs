//! Another host of the connection string that accepts writes, and what processes see of it.
//!
//! As the shipped lookout does it: looked at before connecting, each retry interval and, where it was
//! seen, at once after connecting. A process that is cut off sees nothing, and goes by what it has seen.

use super::world::{Host, KEY, Rival, World};
use super::{Model, ONE};
use crate::engine::{Input, Instant};

/// When a process looks next, by its own clock.
pub(super) fn looks_at(host: &Host) -> Option<Instant> {
    let sees = host.line.is_some() && !host.stalled_up && !host.stalled_down;
    (sees && host.look_at != Instant::NEVER).then_some(host.look_at)
}

impl Model {
    /// Before a process connects. Whether it goes to the other host.
    pub(super) fn chooses_the_other(&self, world: &mut World, index: usize) -> bool {
        let rival = world.rival;
        let now = world.hosts[index].clock(world.now);
        let host = &mut world.hosts[index];
        if host.look_at == Instant::NEVER {
            return false;
        }
        host.saw = rival.is_some();
        host.moved = rival.is_some_and(|rival| rival.higher);
        if host.moved {
            host.connecting = true;
            return true;
        }
        host.look_at = now;
        let looked = Input::Looked {
            contested: rival.is_some(),
            higher: false,
            held: vec![],
            clear: vec![],
        };
        self.tell(world, index, looked);
        false
    }

    /// A process looks at the other host.
    pub(super) fn look(&self, world: &mut World, index: usize) {
        let rival = world.rival;
        let host = &mut world.hosts[index];
        host.look_at = host.clock(world.now) + self.timings.retry_interval;
        host.saw = rival.is_some();
        let higher = rival.is_some_and(|rival| rival.higher);
        let (held, clear) = match rival {
            Some(_) => (vec![KEY], vec![]),
            None => (vec![], vec![KEY]),
        };
        if let Some(Rival { higher }) = rival {
            world.note(|| format!("P{index} sees that another host is led (higher: {higher})"));
        }
        let looked = Input::Looked {
            contested: rival.is_some(),
            higher,
            held,
            clear,
        };
        self.tell(world, index, looked);
        if higher {
            world.hosts[index].moved = true;
            let work = world.hosts[index].work.as_ref();
            if work.is_some_and(|work| work.cancelled.is_none()) {
                // It ends as if deposed.
                world.broken = Some(ONE);
            }
        }
    }
}
