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
use super::work::{self, Worker};
use super::writer::Writer;
use crate::Result;
use crate::judge::history::{Entry, Work};

const THREADS: usize = 2;

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
    /// What its work is like, as the log calls it.
    #[arg(long, value_parser = work::parse)]
    pub(super) work: Work,
}

/// One election, as this process sees it.
pub(super) struct Seat {
    pub(super) election: String,
    leader: Mutex<Option<Leader>>,
    /// The terms that are watched, and how often each has been found over.
    terms: Mutex<Vec<(Term, u32)>>,
    pub(super) fails: AtomicBool,
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
    log.write(&Entry::Started {
        at: clock::now(),
        work: task.work,
    });
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
            // A command, that one may come.
            drop(elector.observe("nobody's"));
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
            // Nobody may read what a failure would say.
            connected = attempt => if let Ok(elector) = connected {
                return Ok(Some(elector));
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
        kind: task.work,
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

impl Seat {
    /// What it says of this term is written down, until it has been over for long.
    pub(super) fn watch(&self, term: &Term) {
        lock(&self.terms).push((term.clone(), 0));
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
