//! What befalls a process.

use std::time::Instant;

use super::sequel::LOOKS;
use super::{Hit, Missed, Sequel};
use crate::Result;
use crate::chaos::conductor::{Conductor, PATIENCE};
use crate::chaos::judge::history::Kind;

impl Conductor {
    pub(super) fn strike_process(&mut self, hit: &Hit<'_>) -> Result<()> {
        let Hit { place, id, .. } = *hit;
        let lasts = hit.planned.lasts;
        match hit.planned.kind {
            Kind::KilledProcess => {
                self.crew.kill(place)?;
                self.after(lasts, Sequel::Join { place, id });
            }
            kind @ (Kind::StoppedProcess | Kind::KilledWhileStopped) => {
                let process = self.crew.stop(place)?;
                self.after(lasts, Sequel::GoOn { place, process, id });
                if kind == Kind::KilledWhileStopped {
                    self.kill_session(&hit.name);
                }
            }
            Kind::Shutdown => self.crew.shut_down(place, id, PATIENCE)?,
            Kind::BlockedRuntime => {
                let order = format!("block {}", lasts.as_millis());
                self.crew.order(place, &order)?;
                self.after(lasts, Sequel::Over { id });
            }
            Kind::DriverPanic => self.panic_driver(hit)?,
            kind => {
                if let Some(process) = &self.crew.places[place].process {
                    if kind == Kind::FullStderr {
                        process.stderr.fill()?;
                        let process = process.name.clone();
                        self.after(lasts, Sequel::Drain { place, process, id });
                    } else {
                        process.stderr.close();
                        self.faults.end(id);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn hold_driver(&mut self, hit: &Hit<'_>) -> Result<(), Missed> {
        let Hit { place, id, .. } = *hit;
        let mut random = self.random(hit.planned);
        let process = self.crew.hold_driver(place, &mut random);
        let process = process.map_err(|error| error.to_string())?;
        let sequel = Sequel::ReleaseDriver { place, process, id };
        self.after(hit.planned.lasts, sequel);
        Ok(())
    }

    fn panic_driver(&mut self, hit: &Hit<'_>) -> Result<()> {
        // A leader has its term already.
        let at = ["command", "answer", "action", "rules", "start"];
        let count = at.len() - usize::from(hit.is_leader);
        let at = at[self.random(hit.planned).usize(..count)];
        let panics = self.crew.panics(hit.place);
        self.crew.order(hit.place, &format!("panic {at}"))?;
        let sequel = Sequel::Panicked {
            place: hit.place,
            panics,
            until: Instant::now() + PATIENCE / 4,
            id: hit.id,
        };
        self.after(LOOKS, sequel);
        Ok(())
    }
}
