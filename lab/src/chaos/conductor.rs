//! Carries out the schedule: the faults, what ends each of them, and in the end a time in which all must be in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::befall::Sequel;
use super::crew::{Crew, PROXIES, Path};
use super::faults::Faults;
use super::judge::history::{DATABASE, FAULTS, Kind, PROCESSES, RUN, Run};
use super::plan::{Planned, plan};
use super::stage::Stage;
use super::standing::Standing;
use super::{ELECTIONS, database};
use crate::{Result, record};

/// So long everything may take to be in order again. What it takes is judged by the judge.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at what there is to do.
const TICK: Duration = Duration::from_millis(5);

/// How often progress is told, and the clocks are compared.
const TELLS: Duration = Duration::from_secs(10);
const COMPARES: Duration = Duration::from_secs(1);

pub(super) struct Conductor {
    pub(super) stage: Arc<Stage>,
    pub(super) crew: Crew,
    pub(super) faults: Faults,
    pub(super) sequels: BinaryHeap<Reverse<(Instant, Sequel)>>,
    started: Instant,
    pub(super) done: BTreeMap<Kind, usize>,
    pub(super) missed: usize,
    renewals: u64,
    /// Suspensions and exclusions in force, and when the last was lifted: what is promoted may not know of that yet.
    pub(super) levers: usize,
    pub(super) lifted_at: Option<Instant>,
    /// What waits for the servers; a promotion also until all levers are lifted.
    pub(super) postponed: Vec<Planned>,
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
        renewals: stage.renewals(),
        levers: 0,
        lifted_at: None,
        postponed: vec![],
        stage,
        crew,
        faults,
        sequels: BinaryHeap::new(),
        started: now,
        done: BTreeMap::new(),
        missed: 0,
        told_at: now,
        compared_at: now,
        interrupted: interrupted(&runtime),
    };
    conductor.faults.compare_clocks();
    conductor.until_in_order()?;
    let standing = Standing::watch(Arc::clone(&conductor.stage), conductor.faults.clone())?;
    let began = record::now();
    conductor.perform(plan(seed, arguments.seconds, arguments.lease()))?;
    conductor.until_in_order()?;
    let candidates = database::candidates(&conductor.stage)?;
    let ended = record::now();
    drop(standing);
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

/// Whether Ctrl-C was pressed.
fn interrupted(runtime: &tokio::runtime::Runtime) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let notice = Arc::clone(&interrupted);
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            notice.store(true, Ordering::SeqCst);
        }
    });
    interrupted
}

impl Conductor {
    fn perform(&mut self, plan: Vec<Planned>) -> Result<()> {
        self.started = Instant::now();
        let mut plan = plan.into_iter().peekable();
        loop {
            self.look()?;
            let elapsed = self.started.elapsed();
            let ready = self
                .postponed
                .iter()
                .position(|planned| self.is_ready(planned));
            if let Some(ready) = ready {
                let planned = self.postponed.remove(ready);
                self.befall(&planned)?;
            } else if let Some(planned) = plan.next_if(|planned| planned.at <= elapsed) {
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
        if self.stage.renewals() > self.renewals {
            self.renewals = self.stage.renewals();
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
            if matches!(place.path, Path::Direct | Path::Socket) {
                self.sequels
                    .push(Reverse((at, Sequel::Renew { place: number })));
                at += Duration::from_secs(1);
            }
        }
    }

    pub(super) fn say(&self, what: &str) {
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
