//! Carries out the schedule: the faults, what ends each of them, and in the end a time in which all must be in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::crew::{Crew, PROXIES, Path};
use super::faults::Faults;
use super::plan::{Planned, Target, plan};
use super::stage::Stage;
use super::{ELECTIONS, clock, database};
use crate::Result;
use crate::judge::history::{DATABASE, FAULTS, Kind, PROCESSES, RUN, Run};

/// So long everything may take to be in order again. What it takes is judged by the judge.
const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at what there is to do.
const TICK: Duration = Duration::from_millis(5);

/// How often progress is told, and the clocks are compared.
const TELLS: Duration = Duration::from_secs(10);
const COMPARES: Duration = Duration::from_secs(1);

/// What ends a fault, or what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sequel {
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

struct Conductor {
    stage: Arc<Stage>,
    crew: Crew,
    faults: Faults,
    sequels: BinaryHeap<Reverse<(Instant, Sequel)>>,
    started: Instant,
    done: BTreeMap<Kind, usize>,
    missed: usize,
    standbys: u64,
    told_at: Instant,
    compared_at: Instant,
    interrupted: Arc<AtomicBool>,
}

/// A whole run, written down in `directory`.
pub(super) fn run(arguments: &Arguments, seed: u64, directory: &FilePath) -> Result<()> {
    let _ = std::fs::remove_dir_all(directory);
    let processes = directory.join(PROCESSES);
    std::fs::create_dir_all(&processes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let notice = Arc::clone(&interrupted);
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            notice.store(true, Ordering::SeqCst);
        }
    });
    let faults = Faults::append_to(&directory.join(FAULTS))?;
    let stage = Arc::new(Stage::start(&runtime, PROXIES, faults.clone())?);
    let description = database::describe(&stage)?;
    println!(
        "{description}; lease {} ms; writing to {}",
        arguments.lease,
        directory.display()
    );
    // The retry interval is a lease too: a leader and its successor often die together here.
    let (lease, retry_interval) = (arguments.lease, arguments.lease);
    let crew = Crew::start(
        Arc::clone(&stage),
        faults.clone(),
        processes,
        lease,
        retry_interval,
    )?;
    let now = Instant::now();
    let mut conductor = Conductor {
        standbys: stage.standbys(),
        stage,
        crew,
        faults,
        sequels: BinaryHeap::new(),
        started: now,
        done: BTreeMap::new(),
        missed: 0,
        told_at: now,
        compared_at: now,
        interrupted,
    };
    conductor.faults.compare_clocks();
    conductor.until_in_order()?;
    let began = clock::now();
    conductor.perform(plan(seed, arguments.seconds, arguments.lease()))?;
    conductor.until_in_order()?;
    let candidates = database::candidates(&conductor.stage)?;
    let ended = clock::now();
    conductor.finish()?;
    let database = database::read(&conductor.stage, candidates)?;
    std::fs::write(directory.join(DATABASE), serde_json::to_vec(&database)?)?;
    let run = Run {
        seed,
        seconds: arguments.seconds,
        lease_ms: lease,
        retry_interval_ms: retry_interval,
        elections: ELECTIONS.map(str::to_owned).to_vec(),
        description,
        began,
        ended,
    };
    std::fs::write(directory.join(RUN), serde_json::to_vec_pretty(&run)?)?;
    println!();
    Ok(())
}

impl Conductor {
    fn perform(&mut self, plan: Vec<Planned>) -> Result<()> {
        self.started = Instant::now();
        let mut plan = plan.into_iter().peekable();
        loop {
            self.look()?;
            let elapsed = self.started.elapsed();
            if let Some(planned) = plan.next_if(|planned| planned.at <= elapsed) {
                self.befall(&planned)?;
            } else if plan.peek().is_none() && self.sequels.is_empty() && !self.stage.is_at_work() {
                return Ok(());
            } else {
                std::thread::sleep(TICK);
            }
        }
    }

    /// Whatever is due, beside the plan.
    fn look(&mut self) -> Result<()> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Err("interrupted".into());
        }
        if let Some(failure) = self.stage.failure() {
            return Err(failure.into());
        }
        for (place, id) in self.crew.reap()? {
            match id {
                Some(id) => self.faults.end(id),
                None => self.say(&format!("candidate {} has ended by itself", place + 1)),
            }
            self.crew.join(place)?;
        }
        if self.stage.standbys() > self.standbys {
            self.standbys = self.stage.standbys();
            self.renew();
        }
        let due = |sequel: &Reverse<(Instant, Sequel)>| sequel.0.0 <= Instant::now();
        while self.sequels.peek().is_some_and(due) {
            if let Some(Reverse((_, sequel))) = self.sequels.pop() {
                self.follow(sequel)?;
            }
        }
        if self.compared_at.elapsed() > COMPARES {
            self.compared_at = Instant::now();
            self.faults.compare_clocks();
        }
        if self.told_at.elapsed() > TELLS {
            self.told_at = Instant::now();
            let total: usize = self.done.values().sum();
            self.say(&format!(
                "{total} faults so far; {} could not be done",
                self.missed
            ));
        }
        Ok(())
    }

    /// One after the other, those that name the servers are replaced by those that know the new one.
    fn renew(&mut self) {
        let mut at = Instant::now();
        for (number, place) in self.crew.places.iter().enumerate() {
            if !matches!(place.path, Path::Proxied(_)) {
                self.sequels
                    .push(Reverse((at, Sequel::Renew { place: number })));
                at += Duration::from_secs(1);
            }
        }
    }

    fn befall(&mut self, planned: &Planned) -> Result<()> {
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
            Kind::StoppedProcess => {
                let process = self.crew.stop(place)?;
                self.after(lasts, Sequel::GoOn { place, process, id });
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
            _ => {
                let statement = match kind {
                    Kind::StepDown => format!("SELECT pgleader.step_down('{election}')"),
                    Kind::Depose => format!("SELECT pgleader.depose('{election}')"),
                    _ => format!(
                        "SELECT pg_terminate_backend(pid) FROM pgleader.candidate \
                         WHERE address = '{name}' LIMIT 1"
                    ),
                };
                let answered = self.stage.primary().execute(&statement);
                if let Err(error) = answered {
                    self.miss(planned, Some(id), &error.to_string());
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

    fn follow(&mut self, sequel: Sequel) -> Result<()> {
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
                Kind::CutBoth | Kind::CutToServer | Kind::CutToClient | Kind::SlowNetwork => {
                    matches!(place.path, Path::Proxied(_)) && !place.hindered
                }
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

    fn say(&self, what: &str) {
        println!("{:7.2} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// Wait until everybody takes part in every election, and somebody leads; not for ever, since it is the judge who
    /// decides.
    fn until_in_order(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.look()?;
            let idle = self.sequels.is_empty() && !self.stage.is_at_work();
            let names = self.crew.names();
            if idle && database::is_in_order(&self.stage, &names) {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.say("not everything is in order, and the judge shall say why");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everybody ends in order.
    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for place in 0..self.crew.places.len() {
            self.crew.order(place, "shutdown")?;
        }
        while !self.crew.names().is_empty() && Instant::now() < deadline {
            self.crew.reap()?;
            std::thread::sleep(TICK);
        }
        for place in 0..self.crew.places.len() {
            self.crew.kill(place)?;
        }
        self.faults.compare_clocks();
        Ok(())
    }
}
