//! A candidate, in a process of its own: this binary, run again. It takes orders on its standard input, one a line.
//!
//! | order | what it does |
//! | --- | --- |
//! | `resign ELECTION` | gives its term up |
//! | `fail ELECTION` | lets its work fail |
//! | `leave ELECTION`, `join ELECTION PRIORITY` | is a candidate no more, or again |
//! | `panic AT` | lets the library's driver panic |
//! | `block MS` | blocks every thread of the application's runtime |
//! | `shutdown` | ends in order |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pg_leader::testing::{PanicAt, panic_driver};
use pg_leader::{Campaign, Config, Elector, Leader, ProcessState, Term};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use super::clock;
use super::log::Log;
use super::writer::{self, Writer};
use crate::Result;
use crate::judge::history::Entry;

const THREADS: usize = 2;

/// Between two steps of work.
const PACE: Duration = Duration::from_millis(3);

/// How long a step takes.
const STEP: Duration = Duration::from_micros(500);

/// Between two looks at what `state()` and `is_current()` say.
const LOOKS: Duration = Duration::from_millis(10);

/// So many looks a term is watched after it is over: it must stay over.
const WATCHED: u32 = 500;

/// How long an orderly end waits for the work.
const GRACE: Duration = Duration::from_secs(2);

/// What a candidate is told to do.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Task {
    #[arg(long)]
    pub(super) name: String,
    #[arg(long)]
    pub(super) conninfo: String,
    #[arg(long)]
    pub(super) lease: u64,
    #[arg(long)]
    pub(super) retry_interval: u64,
    #[arg(long)]
    pub(super) log: PathBuf,
    #[arg(long)]
    pub(super) election: Vec<String>,
    /// Its work asks to be told of its end, and then takes its time.
    #[arg(long)]
    pub(super) listens: bool,
}

/// One election, as this process sees it.
struct Seat {
    election: String,
    leader: Mutex<Option<Leader>>,
    /// The terms that are watched, and how often each has been found over.
    terms: Mutex<Vec<(Term, u32)>>,
    fails: AtomicBool,
}

pub(super) fn main(task: &Task) -> Result<()> {
    // Also a stopped process must not outlive who started it.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let level = std::env::var("RUST_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing_subscriber::filter::LevelFilter::INFO))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    // The usual hook waits for whoever reads standard error.
    let panics = Log::append_to(&task.log.with_extension("panics"))?;
    std::panic::set_hook(Box::new(move |panic| panics.write(&panic.to_string())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(campaign(task));
    // Whoever still writes for an old term is cut off.
    runtime.shutdown_background();
    result
}

async fn campaign(task: &Task) -> Result<()> {
    let log = Log::append_to(&task.log)?;
    log.write(&Entry::Started { at: clock::now() });
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let Some(elector) = connect(task, &mut orders).await? else {
        log.write(&Entry::Ended { at: clock::now() });
        return Ok(());
    };
    let mut seats = BTreeMap::new();
    for election in &task.election {
        let seat = Arc::new(Seat {
            election: election.clone(),
            leader: Mutex::default(),
            terms: Mutex::default(),
            fails: AtomicBool::new(false),
        });
        join(&elector, task, &log, &seat, 0)?;
        seats.insert(election.clone(), seat);
    }
    let watched: Vec<Arc<Seat>> = seats.values().cloned().collect();
    let of_watcher = log.clone();
    std::thread::spawn(move || watch(&of_watcher, &watched));
    while let Ok(Some(order)) = orders.next_line().await {
        let (verb, object) = order.split_once(' ').unwrap_or((&order, ""));
        if verb == "shutdown" {
            break;
        }
        if verb == "block" {
            block(object.parse()?);
            continue;
        }
        if verb == "panic" {
            panic_driver(&elector, panic_at(object));
            continue;
        }
        let (object, priority) = object.split_once(' ').unwrap_or((object, "0"));
        let seat = seats
            .get(object)
            .ok_or_else(|| format!("no such election: {order}"))?;
        let leader = lock(&seat.leader).clone();
        match (verb, leader) {
            ("fail", _) => seat.fails.store(true, Ordering::SeqCst),
            ("resign", Some(leader)) => {
                tokio::spawn(async move { leader.resign().await });
            }
            ("leave", Some(leader)) => {
                leader.leave().await;
                *lock(&seat.leader) = None;
                log.write(&Entry::Left {
                    at: clock::now(),
                    election: seat.election.clone(),
                });
            }
            ("join", None) => join(&elector, task, &log, seat, priority.parse()?)?,
            _ => {}
        }
    }
    elector.shutdown().await;
    log.write(&Entry::Ended { at: clock::now() });
    Ok(())
}

/// None: told to shut down before it was connected.
async fn connect(task: &Task, orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Elector>> {
    let config = Config::new(&task.conninfo)
        .lease(Duration::from_millis(task.lease))
        .retry_interval(Duration::from_millis(task.retry_interval))
        .grace(GRACE)
        .application_name("chaos");
    loop {
        let attempt = async {
            let connected = Elector::connect(config.clone()).await;
            if connected.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            connected
        };
        tokio::select! {
            connected = attempt => match connected {
                Ok(elector) => return Ok(Some(elector)),
                // Nobody may read what it would say.
                Err(_) => {}
            },
            order = orders.next_line() => match order?.as_deref() {
                None | Some("shutdown") => return Ok(None),
                Some(_) => {}
            },
        }
    }
}

fn panic_at(place: &str) -> PanicAt {
    match place {
        "command" => PanicAt::Command,
        "answer" => PanicAt::Answer,
        "action" => PanicAt::Action,
        _ => PanicAt::Start,
    }
}

fn join(elector: &Elector, task: &Task, log: &Log, seat: &Arc<Seat>, priority: i32) -> Result<()> {
    let worker = Worker {
        seat: Arc::clone(seat),
        log: log.clone(),
        listens: task.listens,
        writer: Writer {
            conninfo: task.conninfo.clone(),
            process: task.name.clone(),
            log: log.clone(),
        },
    };
    let worker = Arc::new(worker);
    let campaign = Campaign::default().priority(priority);
    let leader = elector.campaign_with(campaign, &seat.election, &task.name, move |term| {
        let worker = Arc::clone(&worker);
        async move { worker.work(term).await }
    })?;
    *lock(&seat.leader) = Some(leader);
    log.write(&Entry::Joined {
        at: clock::now(),
        election: seat.election.clone(),
    });
    Ok(())
}

struct Worker {
    seat: Arc<Seat>,
    log: Log,
    listens: bool,
    writer: Writer,
}

#[derive(Debug, thiserror::Error)]
#[error("it was told to fail")]
struct ToldToFail;

impl Worker {
    async fn work(&self, term: Term) -> std::result::Result<(), ToldToFail> {
        self.seat.fails.store(false, Ordering::SeqCst);
        // The clock is read before the term is looked at: what was current later was current then, and a process that is
        // stopped in between and woken later finds the term over.
        let at = clock::now();
        if self.listens && !term.is_current() {
            return Ok(());
        }
        let (election, number) = (self.seat.election.clone(), term.number());
        self.log.write(&Entry::Began {
            at,
            election: election.clone(),
            term: number,
        });
        let _at_work = AtWork {
            log: &self.log,
            election,
            term: number,
        };
        lock(&self.seat.terms).push((term.clone(), 0));
        tokio::spawn(writer::write(self.writer.clone(), term.clone()));
        if self.listens {
            let mut deposed = std::pin::pin!(term.deposed());
            self.step(&term);
            term.ready();
            while self.step(&term) {
                tokio::select! {
                    () = &mut deposed => break,
                    () = tokio::time::sleep(PACE) => self.fail()?,
                }
            }
            // It finishes what it does, as long as it may: once in a while that is long.
            let longest = if fastrand::u8(..4) == 0 { 600 } else { 40 };
            let until = Instant::now() + Duration::from_millis(fastrand::u64(..longest));
            while Instant::now() < until && self.step(&term) {
                tokio::time::sleep(PACE).await;
            }
        } else {
            term.ready();
            // It relies on being dropped in time, and asks for nothing.
            loop {
                self.do_step(&term, clock::now());
                tokio::time::sleep(PACE).await;
                self.fail()?;
            }
        }
        Ok(())
    }

    /// One step of work; false when the term is over.
    fn step(&self, term: &Term) -> bool {
        let from = clock::now();
        let current = term.is_current();
        if current {
            self.do_step(term, from);
        }
        current
    }

    fn do_step(&self, term: &Term, from: u64) {
        std::thread::sleep(STEP);
        let (to, election) = (clock::now(), self.seat.election.clone());
        self.log.write(&Entry::Step {
            from,
            to,
            election,
            term: term.number(),
        });
    }

    fn fail(&self) -> std::result::Result<(), ToldToFail> {
        match self.seat.fails.swap(false, Ordering::SeqCst) {
            true => Err(ToldToFail),
            false => Ok(()),
        }
    }
}

/// The work, from its beginning until it has returned or was dropped.
struct AtWork<'a> {
    log: &'a Log,
    election: String,
    term: u64,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let election = self.election.clone();
        self.log.write(&Entry::Stopped {
            at: clock::now(),
            election,
            term: self.term,
        });
    }
}

/// What this process says of itself, asked by a thread that waits for no task.
fn watch(log: &Log, seats: &[Arc<Seat>]) {
    loop {
        for seat in seats {
            let election = || seat.election.clone();
            if let Some(leader) = lock(&seat.leader).clone() {
                let from = clock::now();
                let leads = leader.state() != ProcessState::Following;
                let to = clock::now();
                if leads {
                    log.write(&Entry::Leading {
                        from,
                        to,
                        election: election(),
                    });
                }
            }
            lock(&seat.terms).retain_mut(|(term, over)| {
                let from = clock::now();
                let yes = term.is_current();
                let to = clock::now();
                if yes || *over == 0 {
                    let (election, term) = (election(), term.number());
                    log.write(&Entry::Current {
                        from,
                        to,
                        election,
                        term,
                        yes,
                    });
                }
                *over += u32::from(!yes);
                *over < WATCHED
            });
        }
        std::thread::sleep(LOOKS);
    }
}

/// Every thread of the application's runtime, for so many milliseconds.
fn block(milliseconds: u64) {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    // More than there are threads, for one thread may take two; the second has nothing left to wait for.
    for _ in 0..THREADS * 2 {
        let rest = move || until.saturating_duration_since(Instant::now());
        tokio::spawn(async move { std::thread::sleep(rest()) });
    }
}

/// Keep all processors busy.
pub(super) fn busy(milliseconds: u64) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    let threads = std::thread::available_parallelism()?.get() * 2;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while Instant::now() < until {});
        }
    });
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
