//! One fault: whom it befalls, what is done to him, and what ends it.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::conductor::{Conductor, PATIENCE};
use super::crew::Path;
use super::plan::{DIRECT, Planned, Target};
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

/// Between two looks at whether something has come.
const LOOKS: Duration = Duration::from_millis(20);

impl Conductor {
    pub(super) fn befall(&mut self, planned: &Planned) -> Result<()> {
        let kind = planned.kind;
        if !self.is_ready(planned) {
            self.say(&format!("{} has to wait", kind.name()));
            self.postponed.push(planned.clone());
            return Ok(());
        }
        if kind.hits_server() {
            if self.stage.befall(kind, planned.lasts) {
                self.count(planned, "");
            } else {
                self.miss(planned, None, "there are too few standbys");
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
        if kind == Kind::Suspend {
            let election = ELECTIONS[planned.election];
            let id = self.faults.begin(kind, None, Some(election));
            let (suspend, resume) = (
                format!("SELECT pgleader.suspend('{election}')"),
                format!("SELECT pgleader.resume('{election}')"),
            );
            if self.pull(planned, id, &suspend, Some(resume)) {
                self.count(planned, &format!(" of {election}"));
            }
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
            Kind::StepDown
            | Kind::Depose
            | Kind::Transfer
            | Kind::Exclude
            | Kind::Resign
            | Kind::FailedWork
            | Kind::Leave
            | Kind::Priority => Some(election),
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
            Kind::Leave | Kind::Priority => {
                self.crew.order(place, &format!("leave {election}"))?;
                self.after(
                    lasts,
                    Sequel::ComeBack {
                        place,
                        election: planned.election,
                        priority: match kind {
                            Kind::Priority => self.random(planned).i32(-3..=3),
                            _ => 0,
                        },
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
                if !self.pull(planned, id, &statement, None) {
                    return Ok(());
                }
            }
            Kind::Transfer => {
                let statement = format!("SELECT pgleader.transfer('{election}', '{name}')");
                if !self.pull(planned, id, &statement, None) {
                    return Ok(());
                }
            }
            Kind::Exclude => {
                let exclude = format!("SELECT pgleader.exclude('{election}', '{name}')");
                let include = format!("SELECT pgleader.include('{election}', '{name}')");
                if !self.pull(planned, id, &exclude, Some(include)) {
                    return Ok(());
                }
            }
            Kind::StoppedDriver => {
                let mut random = self.random(planned);
                match self.crew.hold_driver(place, &mut random) {
                    Ok(process) => self.after(lasts, Sequel::ReleaseDriver { place, process, id }),
                    Err(error) => {
                        self.miss(planned, Some(id), &error.to_string());
                        return Ok(());
                    }
                }
            }
            Kind::DriverPanic => {
                // A leader has its term already.
                let at = ["command", "answer", "action", "start"];
                let at = at[self
                    .random(planned)
                    .usize(..at.len() - usize::from(is_leader))];
                let panics = self.crew.panics(place);
                self.crew.order(place, &format!("panic {at}"))?;
                let until = Instant::now() + PATIENCE / 4;
                self.after(
                    LOOKS,
                    Sequel::Panicked {
                        place,
                        panics,
                        until,
                        id,
                    },
                );
            }
            Kind::FullStderr | Kind::ClosedStderr => {
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
            Kind::KilledRelay => {
                self.stage.relay().kill();
                self.crew.places[place].hindered = true;
                self.after(lasts, Sequel::ReviveRelay { place, id });
            }
            _ => {
                if !self.kill_session(&name) {
                    self.miss(planned, Some(id), "the server is away");
                    return Ok(());
                }
                self.faults.end(id);
            }
        }
        let role = if is_leader && kind == Kind::DriverPanic {
            ", which leads".to_owned()
        } else if is_leader {
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
                priority,
                id,
            } => {
                let order = format!("join {} {priority}", ELECTIONS[election]);
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
            Sequel::Lift { ref statement, id } => {
                if self.stage.primary().execute(statement).is_ok() {
                    self.levers -= 1;
                    self.lifted_at = Some(Instant::now());
                    self.faults.end(id);
                } else {
                    self.after(Duration::from_millis(200), sequel);
                }
            }
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

    /// An operator's statement, and what takes it back in the end. False when it could not be done.
    fn pull(&mut self, planned: &Planned, id: u64, statement: &str, back: Option<String>) -> bool {
        if let Err(error) = self.stage.primary().execute(statement) {
            self.miss(planned, Some(id), &error.to_string());
            return false;
        }
        match back {
            Some(statement) => {
                self.levers += 1;
                self.after(planned.lasts, Sequel::Lift { statement, id });
            }
            None => self.faults.end(id),
        }
        true
    }

    /// Whether the servers are ready for it. Of what is to be lifted again every server must know.
    pub(super) fn is_ready(&self, planned: &Planned) -> bool {
        let promotes = |planned: &Planned| planned.kind.promotes();
        match planned.kind {
            kind if kind.promotes() => self.may_promote() && !self.stage.is_at_work(),
            kind if kind.hits_server() => !self.stage.is_at_work(),
            Kind::Suspend | Kind::Exclude => {
                !self.stage.is_at_work() && !self.postponed.iter().any(promotes)
            }
            _ => true,
        }
    }

    /// Whether every server knows that nobody is suspended or excluded.
    fn may_promote(&self) -> bool {
        let settled = |lifted: Instant| lifted.elapsed() > Duration::from_secs(2);
        self.levers == 0 && self.lifted_at.is_none_or(settled)
    }

    /// What is left to chance in a fault, the same each time.
    fn random(&self, planned: &Planned) -> fastrand::Rng {
        fastrand::Rng::with_seed(planned.at.as_nanos() as u64)
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
            Path::Direct | Path::Socket | Path::Relayed => None,
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
        let (mut leader, mut successor) =
            database::standing(&self.stage, ELECTIONS[planned.election]);
        // Of the two leaders the one where it tells more: nobody waits for what is direct.
        if planned.kind == Kind::DriverPanic && planned.target == Target::Leader {
            let other = (planned.election + 1) % ELECTIONS.len();
            let other = database::standing(&self.stage, ELECTIONS[other]);
            if !self.tells_more(leader.as_deref()) && self.tells_more(other.0.as_deref()) {
                (leader, successor) = other;
            }
        }
        let meant = match planned.target {
            Target::Leader => leader.as_deref(),
            Target::Successor => successor.as_deref(),
            Target::Place(_) => None,
        };
        // Operators and orders reach the leader, whoever that is.
        let meant = match planned.kind {
            Kind::StepDown | Kind::Depose | Kind::Resign | Kind::FailedWork => leader.as_deref(),
            // To somebody else.
            Kind::Transfer => match planned.target {
                Target::Place(_) => None,
                _ => successor.as_deref(),
            },
            _ => meant,
        };
        // Of direct ones it goes to one where more is told.
        let direct = matches!(planned.target, Target::Place(place) if DIRECT.contains(&place));
        let meant = match planned.kind {
            Kind::Transfer if direct => {
                let places = DIRECT.iter().map(|place| &self.crew.places[*place]);
                let mut names = places.filter_map(|place| Some(&*place.process.as_ref()?.name));
                names.find(|name| self.tells_more(Some(name)) && leader.as_deref() != Some(name))
            }
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
                Kind::KilledRelay => {
                    place.path == Path::Relayed && place.process.is_some() && !place.hindered
                }
                Kind::Transfer => {
                    let leads = |name: &String| self.crew.find(name) == Some(place.number);
                    place.is_free() && !leader.as_ref().is_some_and(leads)
                }
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

    /// Whether the end of its session is believed while its work takes its time.
    fn tells_more(&self, name: Option<&str>) -> bool {
        let place = name.and_then(|name| self.crew.find(name));
        place.is_some_and(|place| {
            let place = &self.crew.places[place];
            place.path.is_direct() && place.takes_its_time && place.is_free()
        })
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
