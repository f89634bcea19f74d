//! One fault: whom it befalls, what is done to him, and what ends it.

mod network;
mod operator;
mod process;
mod sequel;
mod victims;

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::conductor::Conductor;
use super::crew::Path;
use super::judge::history::Kind;
use super::plan::Planned;
use crate::Result;
pub(super) use sequel::Sequel;

/// A fault, and whom it befalls.
struct Hit<'a> {
    planned: &'a Planned,
    /// Its number in the log of faults.
    id: u64,
    place: usize,
    /// Of the process there.
    name: String,
    is_leader: bool,
    /// It is meant for this one, where it is meant for one.
    election: String,
}

/// Why a fault that had begun could not be done.
type Missed = String;

impl Conductor {
    pub(super) fn befall(&mut self, planned: &Planned) -> Result<()> {
        let kind = planned.kind;
        if !self.is_ready(planned) {
            self.say(&format!("{} has to wait", kind.name()));
            self.postponed.push(planned.clone());
            return Ok(());
        }
        match kind {
            kind if kind.hits_server() => {
                if self.stage.befall(kind, planned.lasts) {
                    self.count(planned, "");
                } else {
                    self.miss(planned, None, "there are too few standbys");
                }
            }
            Kind::BusyProcessors => {
                let id = self.faults.begin(kind, None, None);
                self.crew.busy(planned.lasts)?;
                self.after(planned.lasts, Sequel::Over { id });
                self.count(planned, "");
            }
            Kind::Suspend => self.suspend(planned),
            _ => self.befall_somebody(planned)?,
        }
        Ok(())
    }

    fn befall_somebody(&mut self, planned: &Planned) -> Result<()> {
        let kind = planned.kind;
        let (leader, victim) = self.victims(planned);
        let Some(place) = victim else {
            self.miss(planned, None, "nobody is fit for it");
            return Ok(());
        };
        let name = self.name(place);
        let election = self.crew.elections[planned.election].clone();
        let of_election = is_of_one_election(kind).then_some(election.as_str());
        let hit = Hit {
            planned,
            id: self.faults.begin(kind, Some(&name), of_election),
            place,
            is_leader: leader.as_ref() == Some(&name),
            name,
            election,
        };
        match self.strike(&hit)? {
            Err(missed) => self.miss(planned, Some(hit.id), &missed),
            Ok(()) => {
                let role = match hit.is_leader {
                    true if kind == Kind::DriverPanic => ", which leads".to_owned(),
                    true => format!(", which leads {}", hit.election),
                    false => String::new(),
                };
                self.count(planned, &format!(": {}{role}", hit.name));
            }
        }
        Ok(())
    }

    fn strike(&mut self, hit: &Hit<'_>) -> Result<Result<(), Missed>> {
        match hit.planned.kind {
            Kind::KilledWhileCut
            | Kind::CutBoth
            | Kind::CutToServer
            | Kind::CutToClient
            | Kind::SlowNetwork
            | Kind::ResetConnections
            | Kind::KilledRelay => self.strike_network(hit),
            Kind::StepDown | Kind::Depose | Kind::Transfer | Kind::Exclude => {
                return Ok(self.pull_lever(hit));
            }
            Kind::Leave | Kind::Priority | Kind::Resign | Kind::FailedWork => self.order(hit)?,
            Kind::StoppedDriver => return Ok(self.hold_driver(hit)),
            Kind::KilledProcess
            | Kind::StoppedProcess
            | Kind::KilledWhileStopped
            | Kind::Shutdown
            | Kind::BlockedRuntime
            | Kind::DriverPanic
            | Kind::FullStderr
            | Kind::ClosedStderr => self.strike_process(hit)?,
            _ => {
                if !self.kill_session(&hit.name) {
                    return Ok(Err("the server is away".to_owned()));
                }
                self.faults.end(hit.id);
            }
        }
        Ok(Ok(()))
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

/// Whether it befalls a process in one of its elections alone.
fn is_of_one_election(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::StepDown
            | Kind::Depose
            | Kind::Transfer
            | Kind::Exclude
            | Kind::Resign
            | Kind::FailedWork
            | Kind::Leave
            | Kind::Priority
    )
}
