//! One fault: whom it befalls, what is done to him, and what ends it.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::conductor::{Conductor, PATIENCE};
use super::crew::Path;
use super::plan::{Planned, Target};
use super::{ELECTIONS, database};
use crate::Result;
use crate::judge::history::Kind;

/// What ends a fault, or what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sequel {
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
        id: u64,
    },
    Over {
        id: u64,
    },
    /// Servers have changed: a process that names them in its connection string is replaced.
    Renew {
        place: usize,
    },
}

impl Conductor {
    pub(super) fn befall(&mut self, planned: &Planned) -> Result<()> {
        let kind = planned.kind;
        if kind.hits_server() {
            if self.stage.befall(kind, planned.lasts) {
                self.count(planned, "");
            } else {
                self.miss(planned, None, "the servers are busy with the last");
            }
            return Ok(());
        }
        if kind == Kind::BusyProcessors {
            let id = self.faults.begin(kind, None, None);
            self.crew.busy(planned.lasts)?;
            self.after(planned.lasts, Sequel::Over { id });
            self.count(planned, "");
            return Ok(());
        }
        let (leader, victim) = self.victims(planned);
        let Some(place) = victim else {
            self.miss(planned, None, "nobody is fit for it");
            return Ok(());
        };
        let name = self.name(place);
        let election = ELECTIONS[planned.election];
        let is_leader = leader.as_ref() == Some(&name);
        let of_election = match kind {
            Kind::StepDown | Kind::Depose | Kind::Resign | Kind::FailedWork | Kind::Leave => {
                Some(election)
            }
            _ => None,
        };
        let id = self.faults.begin(kind, Some(&name), of_election);
        let lasts = planned.lasts;
        match kind {
            Kind::KilledProcess => {
                self.crew.kill(place)?;
                self.after(lasts, Sequel::Join { place, id });
            }
            Kind::StoppedProcess | Kind::KilledWhileStopped => {
                let process = self.crew.stop(place)?;
                self.after(lasts, Sequel::GoOn { place, process, id });
                if kind == Kind::KilledWhileStopped {
                    self.kill_session(&name);
                }
            }
            Kind::KilledWhileCut => {
                self.cut(place, id, (true, true), lasts);
                self.kill_session(&name);
            }
            Kind::CutBoth => self.cut(place, id, (true, true), lasts),
            Kind::CutToServer => self.cut(place, id, (true, false), lasts),
            Kind::CutToClient => self.cut(place, id, (false, true), lasts),
            Kind::SlowNetwork => {
                // A round trip takes up to a third of the lease.
                let lease = self.crew.lease;
                let delay = Duration::from_millis(lease / 20 + id % (lease / 10));
                if let Some(proxy) = self.proxy(place) {
                    self.stage.proxies[proxy].delay(delay);
                }
                self.crew.places[place].hindered = true;
                self.after(lasts, Sequel::Heal { place, id });
            }
            Kind::ResetConnections => {
                if let Some(proxy) = self.proxy(place) {
                    self.stage.proxies[proxy].reset();
                }
                self.faults.end(id);
            }
            Kind::Shutdown => self.crew.shut_down(place, id, PATIENCE)?,
            Kind::Leave => {
                self.crew.order(place, &format!("leave {election}"))?;
                self.after(
                    lasts,
                    Sequel::ComeBack {
                        place,
                        election: planned.election,
                        id,
                    },
                );
            }
            Kind::BlockedRuntime => {
                self.crew
                    .order(place, &format!("block {}", lasts.as_millis()))?;
                self.after(lasts, Sequel::Over { id });
            }
            Kind::Resign | Kind::FailedWork => {
                let verb = if kind == Kind::Resign {
                    "resign"
                } else {
                    "fail"
                };
                self.crew.order(place, &format!("{verb} {election}"))?;
                self.faults.end(id);
            }
            Kind::StepDown | Kind::Depose => {
                let verb = if kind == Kind::StepDown {
                    "step_down"
                } else {
                    "depose"
                };
                let statement = format!("SELECT pgleader.{verb}('{election}')");
                if let Err(error) = self.stage.primary().execute(&statement) {
                    self.miss(planned, Some(id), &error.to_string());
                    return Ok(());
                }
                self.faults.end(id);
            }
            _ => {
                if !self.kill_session(&name) {
                    self.miss(planned, Some(id), "the server is away");
                    return Ok(());
                }
                self.faults.end(id);
            }
        }
        let role = if is_leader {
            format!(", which leads {election}")
        } else {
            String::new()
        };
        self.count(planned, &format!(": {name}{role}"));
        Ok(())
    }

    pub(super) fn follow(&mut self, sequel: Sequel) -> Result<()> {
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
            Sequel::Heal { place, id } => {
                if let Some(proxy) = self.proxy(place) {
                    self.stage.proxies[proxy].swallow(false, false);
                    self.stage.proxies[proxy].delay(Duration::ZERO);
                }
                self.crew.places[place].hindered = false;
                self.faults.end(id);
            }
            Sequel::ComeBack {
                place,
                election,
                id,
            } => {
                self.crew
                    .order(place, &format!("join {}", ELECTIONS[election]))?;
                self.faults.end(id);
            }
            Sequel::Over { id } => self.faults.end(id),
            Sequel::Renew { place } => {
                if self.crew.places[place].is_free() {
                    let id = self
                        .faults
                        .begin(Kind::Shutdown, Some(&self.name(place)), None);
                    self.crew.shut_down(place, id, PATIENCE)?;
                    *self.done.entry(Kind::Shutdown).or_default() += 1;
                    self.say(&format!(
                        "candidate {} is replaced: there is a new standby",
                        place + 1
                    ));
                } else {
                    self.after(Duration::from_millis(200), sequel);
                }
            }
        }
        Ok(())
    }

    fn after(&mut self, delay: Duration, sequel: Sequel) {
        self.sequels.push(Reverse((Instant::now() + delay, sequel)));
    }

    fn cut(
        &mut self,
        place: usize,
        id: u64,
        (to_server, to_client): (bool, bool),
        lasts: Duration,
    ) {
        if let Some(proxy) = self.proxy(place) {
            self.stage.proxies[proxy].swallow(to_server, to_client);
        }
        self.crew.places[place].hindered = true;
        self.after(lasts, Sequel::Heal { place, id });
    }

    /// False when the server does not answer: then there is no session either.
    fn kill_session(&self, name: &str) -> bool {
        let statement = format!(
            "SELECT pg_terminate_backend(pid) FROM pgleader.candidate WHERE address = '{name}' LIMIT 1"
        );
        self.stage.primary().execute(&statement).is_ok()
    }

    fn proxy(&self, place: usize) -> Option<usize> {
        match self.crew.places[place].path {
            Path::Proxied(proxy) => Some(proxy),
            Path::Direct | Path::Socket => None,
        }
    }

    fn name(&self, place: usize) -> String {
        let process = self.crew.places[place].process.as_ref();
        process
            .map(|process| process.name.clone())
            .unwrap_or_default()
    }

    /// Who leads, and whom a fault befalls: whom it is meant for, or the next one that is fit for it.
    fn victims(&self, planned: &Planned) -> (Option<String>, Option<usize>) {
        let (leader, successor) = database::standing(&self.stage, ELECTIONS[planned.election]);
        let meant = match planned.target {
            Target::Leader => leader.as_deref(),
            Target::Successor => successor.as_deref(),
            Target::Place(_) => None,
        };
        // Operators and orders reach the leader, whoever that is.
        let meant = match planned.kind {
            Kind::StepDown | Kind::Depose | Kind::Resign | Kind::FailedWork => leader.as_deref(),
            _ => meant,
        };
        let count = self.crew.places.len();
        let first = match (meant.and_then(|name| self.crew.find(name)), planned.target) {
            (Some(place), _) | (None, Target::Place(place)) => place,
            _ => planned.at.as_millis() as usize % count,
        };
        let fit = |place: &usize| {
            let place = &self.crew.places[*place];
            match planned.kind {
                Kind::CutBoth
                | Kind::CutToServer
                | Kind::CutToClient
                | Kind::KilledWhileCut
                | Kind::SlowNetwork => matches!(place.path, Path::Proxied(_)) && !place.hindered,
                Kind::ResetConnections => matches!(place.path, Path::Proxied(_)),
                // A process that hangs can be killed, and its session too.
                Kind::KilledProcess => place
                    .process
                    .as_ref()
                    .is_some_and(|process| process.ending.is_none()),
                Kind::KilledSession | Kind::StepDown | Kind::Depose => place.process.is_some(),
                _ => place.is_free(),
            }
        };
        let victim = (0..count).map(|step| (first + step) % count).find(fit);
        (
            leader,
            victim.filter(|place| self.crew.places[*place].process.is_some()),
        )
    }

    fn count(&mut self, planned: &Planned, whom: &str) {
        *self.done.entry(planned.kind).or_default() += 1;
        let lasts = match planned.lasts.is_zero() {
            true => String::new(),
            false => format!(", for {:.2} s", planned.lasts.as_secs_f64()),
        };
        self.say(&format!("{}{whom}{lasts}", planned.kind.name()));
    }

    fn miss(&mut self, planned: &Planned, id: Option<u64>, why: &str) {
        self.missed += 1;
        self.faults.missed(id, why);
        self.say(&format!("no {}: {why}", planned.kind.name()));
    }
}
