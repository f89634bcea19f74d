//! A candidate, in a process of its own: a binary of this package, run again. It takes orders on its standard input, one a
//! line, and ends in order when that does.
//!
//! | order | what it does |
//! | --- | --- |
//! | `resign ELECTION` | gives its term up |
//! | `fail ELECTION` | lets its work fail |
//! | `leave ELECTION`, `join ELECTION PRIORITY` | is a candidate no more, or again |
//! | `panic AT` | lets the library's driver panic |
//! | `block MS` | blocks every thread of the application's runtime |
//! | `shutdown` | ends in order |

mod looks;
mod task;
mod work;
mod writer;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pg_leader::testing::{PanicAt, panic_driver};
use pg_leader::{Campaign, Candidacy, Changes, Config, Elector};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::sync::Notify;
use tracing_subscriber::filter::LevelFilter;

use crate::Result;
use crate::record::{Entry, Record, now};
use looks::Watched;
pub use task::{Task, USUAL, stretch};
use work::Worker;
pub use writer::TABLE;
use writer::Writer;

/// As many as a small machine has.
const THREADS: usize = 2;

/// Between two attempts to connect.
const PATIENCE: Duration = Duration::from_millis(200);

/// One election, as this process sees it.
struct Seat {
    election: String,
    candidacy: Mutex<Option<Candidacy>>,
    terms: Mutex<Vec<Watched>>,
    /// Tells the work that there is, if there is any.
    fails: Notify,
    /// Of fenced transactions, where any are written.
    writer: Option<Writer>,
}

/// Every line of its record has its address.
#[derive(Clone, Debug)]
struct Diary {
    address: String,
    record: Arc<Record>,
}

impl Diary {
    fn write(&self, entry: &Entry) {
        self.record.write(&self.address, entry);
    }
}

/// Be a candidate, where this process shall be one. To be called first: whoever starts a candidate starts his own binary
/// again.
pub fn main() -> Option<ExitCode> {
    let ended = Task::given()?.and_then(|task| run(&task));
    Some(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("candidate: {error}");
            ExitCode::FAILURE
        }
    })
}

fn run(task: &Task) -> Result<()> {
    die_with_parent()?;
    let level = std::env::var("RUST_LOG").ok();
    let level = level.and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(task.log.parse::<LevelFilter>()?))
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let record = match &task.record {
        None => Record::on_stdout(),
        Some(file) => {
            // The usual hook waits for whoever reads standard error.
            let panics = std::fs::File::create(file.with_extension("panics"))?;
            std::panic::set_hook(Box::new(move |panic| {
                let _ = std::io::Write::write_all(&mut &panics, format!("{panic}\n").as_bytes());
            }));
            Record::in_file(file)?
        }
    };
    let diary = Diary {
        address: task.address.clone(),
        record,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(campaign(task, &diary));
    // Whoever still writes for an old term is cut off.
    runtime.shutdown_background();
    result
}

/// Also a stopped process must not outlive who started it: to be precise, the thread that did.
///
/// # Errors
///
/// When the system refuses.
pub fn die_with_parent() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}

async fn campaign(task: &Task, diary: &Diary) -> Result<()> {
    let work = task.work;
    diary.write(&Entry::Started { at: now(), work });
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let Some(elector) = connect(task, &mut orders).await? else {
        diary.write(&Entry::Ended { at: now() });
        return Ok(());
    };
    let writer = task.writes.then(|| Writer::new(task, diary));
    let mut seats = BTreeMap::new();
    for election in &task.elections {
        let seat = Arc::new(Seat {
            election: election.clone(),
            candidacy: Mutex::default(),
            terms: Mutex::default(),
            fails: Notify::new(),
            writer: writer.clone(),
        });
        join(&elector, task, diary, &seat, 0)?;
        seats.insert(election.clone(), seat);
    }
    if task.looks {
        let (diary, seats) = (diary.clone(), seats.values().cloned().collect::<Vec<_>>());
        let every = task.stretch();
        std::thread::spawn(move || looks::look(&diary, &seats, every));
    }
    while let Ok(Some(order)) = orders.next_line().await {
        if order == "shutdown" {
            break;
        }
        obey(&order, &elector, task, diary, &seats).await?;
    }
    elector.shutdown().await;
    diary.write(&Entry::Ended { at: now() });
    Ok(())
}

/// None: told to shut down before it was connected.
async fn connect(task: &Task, orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Elector>> {
    let mut config = Config::new(&task.conninfo).lease(task.lease);
    if let Some(name) = &task.application_name {
        config = config.application_name(name);
    }
    if let Some(interval) = task.retry_interval {
        config = config.retry_interval(interval);
    }
    if let Some(grace) = task.grace {
        config = config.grace(grace);
    }
    loop {
        let attempt = async {
            let connected = Elector::connect(config.clone()).await;
            if connected.is_err() && task.patient {
                tokio::time::sleep(PATIENCE).await;
            }
            connected
        };
        tokio::select! {
            connected = attempt => match connected {
                Ok(elector) => return Ok(Some(elector)),
                // Nobody may read what a failure would say.
                Err(_) if task.patient => {}
                Err(error) => return Err(error.into()),
            },
            order = orders.next_line() => match order?.as_deref() {
                None | Some("shutdown") => return Ok(None),
                Some(_) => {}
            },
        }
    }
}

async fn obey(
    order: &str,
    elector: &Elector,
    task: &Task,
    diary: &Diary,
    seats: &BTreeMap<String, Arc<Seat>>,
) -> Result<()> {
    let (verb, object) = order.split_once(' ').unwrap_or((order, ""));
    if verb == "block" {
        block(object.parse()?);
        return Ok(());
    }
    if verb == "panic" {
        panic_driver(elector, panic_at(object));
        // A command, that one may come.
        drop(elector.observe("nobody's"));
        return Ok(());
    }
    let (object, priority) = match verb {
        "join" => object.rsplit_once(' ').unwrap_or((object, "0")),
        _ => (object, "0"),
    };
    let seat = seats.get(object);
    let seat = seat.ok_or_else(|| format!("no such election: {order}"))?;
    let candidacy = lock(&seat.candidacy).clone();
    match (verb, candidacy) {
        ("fail", _) => seat.fails.notify_waiters(),
        ("resign", Some(candidacy)) => {
            tokio::spawn(async move { candidacy.resign().await });
        }
        ("leave", Some(candidacy)) => {
            candidacy.leave().await;
            *lock(&seat.candidacy) = None;
            diary.write(&Entry::Left {
                at: now(),
                election: seat.election.clone(),
            });
        }
        ("join", None) => join(elector, task, diary, seat, priority.parse()?)?,
        _ => {}
    }
    Ok(())
}

fn panic_at(place: &str) -> PanicAt {
    match place {
        "command" => PanicAt::Command,
        "answer" => PanicAt::Answer,
        "action" => PanicAt::Action,
        "rules" => PanicAt::Rules(2),
        _ => PanicAt::Start,
    }
}

fn join(
    elector: &Elector,
    task: &Task,
    diary: &Diary,
    seat: &Arc<Seat>,
    priority: i32,
) -> Result<()> {
    let worker = Arc::new(Worker::new(task, diary, seat));
    let campaign = Campaign::new(&seat.election, &task.address)
        .priority(priority)
        .graceful(work::is_graceful(task.work));
    let candidacy = elector.campaign(campaign, move |term| {
        let worker = Arc::clone(&worker);
        async move { worker.work(term).await }
    })?;
    if task.hears {
        let changes = candidacy.changes();
        tokio::spawn(hear(changes, diary.clone(), seat.election.clone()));
    }
    *lock(&seat.candidacy) = Some(candidacy);
    diary.write(&Entry::Joined {
        at: now(),
        election: seat.election.clone(),
    });
    Ok(())
}

/// Until the elector ends.
async fn hear(mut changes: Changes, diary: Diary, election: String) {
    let mut last = 0;
    while let Some(standing) = changes.next().await {
        let Some(address) = standing.address else {
            continue;
        };
        if standing.term > last && changes.current().address.as_ref() == Some(&address) {
            last = standing.term;
            diary.write(&Entry::Heard {
                at: now(),
                election: election.clone(),
                term: last,
                address: address.to_string(),
            });
        }
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
