//! Carries out the schedule: the faults, what ends each of them, and in the end a time in which all must be in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use super::befall::Sequel;
use super::crew::{Crew, PACE, PROXIES, Path};
use super::faults::Faults;
use super::judge::history::{DATABASE, FAULTS, Kind, PROCESSES, RUN, Run};
use super::plan::Planned;
use super::stage::Stage;
use super::standing::Standing;
use super::{database, elections};
use crate::{Result, candidate, record};

/// So long everything may take to be in order again. What it takes is judged by the judge.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// Between two looks at whether all is in order, and so many times as long as a look takes.
const LOOKS: Duration = Duration::from_millis(50);
const RESTS: u32 = 4;

/// Between two looks at what there is to do.
const TICK: Duration = Duration::from_millis(5);

/// How often progress is told, and the clocks are compared.
const TELLS: Duration = Duration::from_secs(10);
const COMPARES: Duration = Duration::from_secs(1);

pub(super) struct Conductor {
    pub(super) stage: Arc<Stage>,
    pub(super) crew: Crew,
    pub(super) faults: Faults,
    /// While it is looked at.
    standing: Option<Standing>,
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
        "{description}; {} elections; lease {} ms; writing to {}",
        arguments.elections,
        arguments.lease,
        directory.display()
    );
    let mut run = facts(arguments, seed, description);
    let crew = Crew::start(Arc::clone(&stage), faults.clone(), processes, &run)?;
    let now = Instant::now();
    let mut conductor = Conductor {
        renewals: stage.renewals(),
        levers: 0,
        lifted_at: None,
        postponed: vec![],
        stage,
        crew,
        faults,
        standing: None,
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
    conductor.standing = Some(standing);
    run.began = record::now();
    conductor.perform(arguments.schedule(seed))?;
    conductor.until_in_order()?;
    let candidates = database::candidates(&conductor.stage)?;
    run.ended = record::now();
    conductor.standing = None;
    conductor.finish()?;
    let database = database::read(&conductor.stage, candidates)?;
    std::fs::write(directory.join(DATABASE), serde_json::to_vec(&database)?)?;
    std::fs::write(directory.join(RUN), serde_json::to_vec_pretty(&run)?)?;
    println!();
    Ok(())
}

/// All but when it began and ended.
fn facts(arguments: &Arguments, seed: u64, description: String) -> Run {
    let elections = elections(arguments.elections.into());
    let pace = PACE * candidate::stretch(elections.len());
    Run {
        seed,
        seconds: arguments.seconds,
        lease_ms: arguments.lease,
        // A lease too: a leader and its successor often die together here.
        retry_interval_ms: arguments.lease,
        elections,
        pace_ms: pace.as_millis() as u64,
        description,
        began: 0,
        ended: 0,
    }
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
            self.tell_progress();
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

    fn tell_progress(&self) {
        let (total, missed) = (self.done.values().sum::<usize>(), self.missed);
        let mut progress = format!("{total} faults so far; {missed} could not be done");
        if let Some(standing) = &self.standing {
            let (led, terms) = standing.seen();
            let all = self.crew.elections.len();
            progress += &format!("; {terms} terms on record; {led} of {all} elections led now");
        }
        self.say(&progress);
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
            let (elections, names) = (&self.crew.elections, self.crew.names());
            let asked = Instant::now();
            if idle && database::is_in_order(&self.stage, elections, &names) {
                return Ok(());
            }
            let rest = LOOKS.max(asked.elapsed() * RESTS);
            if Instant::now() > deadline {
                self.say("not everything is in order, and the judge shall say why");
                return Ok(());
            }
            std::thread::sleep(rest);
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
