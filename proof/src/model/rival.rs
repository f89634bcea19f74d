//! Another host of the connection string that accepts writes, and what processes see of it.
//!
//! When they look and what they make of it is the engine's. A process that is cut off sees nothing.

use super::world::{ELECTION, Host, Look, Rival, World};
use super::{Fault, Model, ONE};
use crate::engine::{Input, Led, Missed, Server, Sight, Surroundings, Survey, best};

/// Whether a process is about to be told what it sees.
pub(super) fn sees(host: &Host) -> bool {
    host.looking.is_some() && host.line.is_some() && !host.stalled_up && !host.stalled_down
}

impl Model {
    /// Whether the connection string names several hosts.
    fn several(&self) -> bool {
        self.bounds.menu.contains(&Fault::Rival)
    }

    /// Before a process connects. Whether it goes to the other host.
    pub(super) fn chooses_the_other(&self, world: &mut World, index: usize) -> bool {
        if !self.several() {
            return false;
        }
        let sights = survey(world.rival).sights.into_iter().enumerate();
        let goes = best(&sights.collect::<Vec<_>>()) == [1];
        let host = &mut world.hosts[index];
        host.saw = world.rival.is_some();
        host.moved = goes;
        if goes {
            host.connecting = true;
        }
        goes
    }

    /// What a session is told of where it has arrived.
    pub(super) fn surroundings(&self, world: &World) -> Option<Surroundings> {
        self.several().then(|| Surroundings {
            own: own(),
            survey: survey(world.rival),
        })
    }

    pub(super) fn begin_to_look(&self, world: &mut World, index: usize) {
        let rival = world.rival;
        world.hosts[index].looking = Some(Look { rival });
    }

    /// A look at the other host ends.
    pub(super) fn look(&self, world: &mut World, index: usize) {
        let is_there = world.rival.is_some();
        let host = &mut world.hosts[index];
        let Some(Look { rival }) = host.looking.take() else {
            return;
        };
        host.saw = rival.is_some();
        if let Some(Rival { higher, .. }) = rival {
            world.note(|| format!("P{index} sees that another host is led (higher: {higher})"));
        }
        let survey = Some(survey(rival));
        let late = false;
        self.tell(world, index, Input::Looked { survey, late });
        if rival.is_some_and(|rival| rival.higher) {
            world.hosts[index].moved = is_there;
            let work = world.hosts[index].work.as_ref();
            if work.is_some_and(|work| work.cancelled.is_none()) {
                // It ends as if deposed.
                world.broken = Some(ONE);
            }
        }
    }
}

fn own() -> Sight {
    sight("own", 1, 2, false)
}

fn survey(rival: Option<Rival>) -> Survey {
    let Some(Rival { higher, .. }) = rival else {
        return Survey {
            sights: vec![own()],
            missed: vec![Missed {
                name: OTHER.to_owned(),
                refuses: true,
            }],
        };
    };
    let timeline = if higher { 3 } else { 1 };
    Survey {
        sights: vec![own(), sight(OTHER, 2, timeline, true)],
        missed: vec![],
    }
}

const OTHER: &str = "other";

fn sight(name: &str, started: i64, timeline: i64, led: bool) -> Sight {
    let elections = led.then(|| ELECTION.to_owned()).into_iter().collect();
    Sight {
        name: name.to_owned(),
        server: Server {
            system: Some(1),
            started,
        },
        standby: false,
        read_only: false,
        timeline: Some(timeline),
        held: Some(Led {
            elections,
            any: false,
        }),
    }
}
