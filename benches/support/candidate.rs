//! A candidate in a process of its own: the benchmark's binary, run again. It says on its standard output
//! what its work does and when, and takes orders on its standard input.
//!
//! | line | meaning |
//! | --- | --- |
//! | `began TERM TIME` | the work of a term starts |
//! | `at TERM TIME DONE` | a step of it begins; the one before was done then |
//! | `ended TERM TIME DONE` | it was dropped; its last step was done then |
//! | `seen TERM TIME ADDRESS` | this process knows the address of that term's leader |

use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

use futures_util::StreamExt;
use pg_leader::{Config, Elector, Leader, Term};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::clock;

const WORD: &str = "candidate";

/// What a candidate is told to do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) conninfo: String,
    pub(crate) lease: Duration,
    pub(crate) retry_interval: Duration,
    /// It takes part in `ELECTION-0` to `ELECTION-(count - 1)`.
    pub(crate) election: String,
    pub(crate) count: u32,
    pub(crate) address: String,
    /// Say how the work goes on, so often; zero: the work costs nothing and says nothing.
    pub(crate) pace: Duration,
}

impl Task {
    pub(crate) fn arguments(&self) -> [String; 8] {
        [
            WORD.to_owned(),
            self.conninfo.clone(),
            self.lease.as_millis().to_string(),
            self.retry_interval.as_millis().to_string(),
            self.election.clone(),
            self.count.to_string(),
            self.address.clone(),
            self.pace.as_millis().to_string(),
        ]
    }

    fn parse(words: &[String]) -> Option<Task> {
        let [
            word,
            conninfo,
            lease,
            retry_interval,
            election,
            count,
            address,
            pace,
        ] = words
        else {
            return None;
        };
        let milliseconds = |word: &String| word.parse().map(Duration::from_millis).ok();
        (word == WORD).then_some(())?;
        Some(Task {
            conninfo: conninfo.clone(),
            lease: milliseconds(lease)?,
            retry_interval: milliseconds(retry_interval)?,
            election: election.clone(),
            count: count.parse().ok()?,
            address: address.clone(),
            pace: milliseconds(pace)?,
        })
    }
}

/// Be a candidate, where this process shall be one; false where it is the benchmark itself.
pub(crate) fn main() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = Task::parse(&words) else {
        return false;
    };
    // Also a stopped process must not outlive the benchmark.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .expect("a signal can be asked for");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(campaign(task));
    true
}

async fn campaign(task: Task) {
    let config = Config::new(&task.conninfo)
        .lease(task.lease)
        .retry_interval(task.retry_interval);
    let elector = Elector::connect(config).await.expect("the cluster is fit");
    let mut leaders = vec![];
    for number in 0..task.count {
        let election = format!("{}-{number}", task.election);
        let pace = task.pace;
        let leader = elector
            .campaign(&election, &task.address, move |term| work(term, pace))
            .expect("a new candidacy");
        if !pace.is_zero() {
            tokio::spawn(follow(leader.clone()));
        }
        leaders.push(leader);
    }
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(order)) = orders.next_line().await {
        assert_eq!(order, "resign");
        for leader in &leaders {
            leader.resign().await;
        }
    }
}

async fn work(term: Term, pace: Duration) -> Result<(), Infallible> {
    if pace.is_zero() {
        term.ready();
        std::future::pending::<()>().await;
    }
    let mut at_work = AtWork::begin(term.number());
    term.ready();
    loop {
        at_work.step();
        tokio::time::sleep(pace).await;
    }
}

/// It asks nobody whether it may go on: it is dropped.
struct AtWork {
    term: u64,
    /// When its last step was done.
    done: u64,
}

impl AtWork {
    fn begin(term: u64) -> AtWork {
        let done = clock::now();
        say(format_args!("began {term} {done}"));
        AtWork { term, done }
    }

    fn step(&mut self) {
        say(format_args!(
            "at {} {} {}",
            self.term,
            clock::now(),
            self.done
        ));
        self.done = clock::now();
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        say(format_args!(
            "ended {} {} {}",
            self.term,
            clock::now(),
            self.done
        ));
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    // Without a benchmark that listens there is nothing to report.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

async fn follow(leader: Leader) {
    let mut changes = leader.changes();
    let mut last = 0;
    while let Some(standing) = changes.next().await {
        let Some(address) = standing.address else {
            continue;
        };
        if standing.term > last && leader.address().as_ref() == Ok(&address) {
            last = standing.term;
            say(format_args!("seen {last} {} {address}", clock::now()));
        }
    }
}
