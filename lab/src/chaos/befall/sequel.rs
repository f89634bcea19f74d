//! What ends a fault, or what follows from it.

use std::time::{Duration, Instant};

use crate::Result;
use crate::chaos::conductor::{Conductor, PATIENCE};
use crate::chaos::judge::history::Kind;

/// Between two looks at whether something has come.
pub(super) const LOOKS: Duration = Duration::from_millis(20);

/// Between two attempts of what a server has to be there for, or a process.
const AGAIN: Duration = Duration::from_millis(200);

/// What ends a fault, or what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::chaos) enum Sequel {
    /// A process takes the place of one that was killed.
    Join {
        place: usize,
        id: u64,
    },
    GoOn {
        place: usize,
        process: String,
        id: u64,
    },
    Heal {
        place: usize,
        id: u64,
    },
    ComeBack {
        place: usize,
        election: usize,
        priority: i32,
        id: u64,
    },
    Over {
        id: u64,
    },
    ReleaseDriver {
        place: usize,
        process: String,
        id: u64,
    },
    Drain {
        place: usize,
        process: String,
        id: u64,
    },
    ReviveRelay {
        place: usize,
        id: u64,
    },
    /// It panics when it comes to where it was told to.
    Panicked {
        place: usize,
        panics: u64,
        until: Instant,
        id: u64,
    },
    /// An operator takes back what he wanted, as soon as there is a server.
    Lift {
        statement: String,
        id: u64,
    },
    /// Servers have changed: a process that names them in its connection string is replaced.
    Renew {
        place: usize,
    },
}

impl Conductor {
    pub(in crate::chaos) fn follow(&mut self, sequel: Sequel) -> Result<()> {
        match sequel {
            Sequel::Join { place, id } => {
                self.faults.end(id);
                if self.crew.places[place].process.is_none() {
                    self.crew.join(place)?;
                }
            }
            Sequel::GoOn { place, process, id } => {
                self.faults.end(id);
                self.crew.go_on(place, &process)?;
            }
            Sequel::Heal { place, id } => self.heal(place, id),
            Sequel::ComeBack {
                place,
                election,
                priority,
                id,
            } => {
                let order = format!("join {} {priority}", self.crew.elections[election]);
                self.crew.order(place, &order)?;
                self.faults.end(id);
            }
            Sequel::Over { id } => self.faults.end(id),
            Sequel::ReleaseDriver { place, process, id } => {
                // Before it goes on: until here it stands still.
                self.faults.end(id);
                self.crew.release_driver(place, &process);
            }
            Sequel::Panicked {
                place,
                panics,
                until,
                id,
            } => {
                if self.crew.panics(place) == panics && Instant::now() < until {
                    self.after(LOOKS, sequel);
                } else {
                    self.faults.end(id);
                }
            }
            Sequel::Drain { place, process, id } => {
                let of_place = self.crew.places[place].process.as_ref();
                if let Some(same) = of_place.filter(|same| same.name == process) {
                    same.stderr.drain();
                }
                self.faults.end(id);
            }
            Sequel::ReviveRelay { place, id } => {
                self.stage.relay().revive()?;
                self.crew.places[place].hindered = false;
                self.faults.end(id);
            }
            Sequel::Lift { statement, id } => self.lift(statement, id),
            Sequel::Renew { place } => self.replace(place)?,
        }
        Ok(())
    }

    fn heal(&mut self, place: usize, id: u64) {
        if let Some(proxy) = self.proxy(place) {
            self.stage.proxies[proxy].swallow(false, false);
            self.stage.proxies[proxy].delay(Duration::ZERO);
        }
        self.crew.places[place].hindered = false;
        self.faults.end(id);
    }

    fn lift(&mut self, statement: String, id: u64) {
        if self.stage.primary().execute(&statement).is_ok() {
            self.levers -= 1;
            self.lifted_at = Some(Instant::now());
            self.faults.end(id);
        } else {
            self.after(AGAIN, Sequel::Lift { statement, id });
        }
    }

    fn replace(&mut self, place: usize) -> Result<()> {
        if !self.crew.places[place].is_free() {
            self.after(AGAIN, Sequel::Renew { place });
            return Ok(());
        }
        let name = self.name(place);
        let id = self.faults.begin(Kind::Shutdown, Some(&name), None);
        self.crew.shut_down(place, id, PATIENCE)?;
        *self.done.entry(Kind::Shutdown).or_default() += 1;
        let place = place + 1;
        self.say(&format!(
            "candidate {place} is replaced: there is a new standby"
        ));
        Ok(())
    }
}
