//! How long it takes until a thousand elections, and five thousand, are joined, led, and led again: between two processes,
//! each with one session. Where a mark is missed more than twofold the exit status is 1.
//!
//! ```text
//! cargo bench -p pg-leader-lab --bench many                 1,000 and 5,000, some two minutes
//! cargo bench -p pg-leader-lab --bench many -- --check      1,000 alone
//! cargo bench -p pg-leader-lab --bench many -- --quick      100, whatever the marks
//! ```

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pg_leader::testing::Cluster;
use pg_leader::{Config, Elector, Term};
use pg_leader_lab::process::Process;
use support::arguments::Arguments;
use support::figures::{Marks, milliseconds, table};
use support::stage::Stage;
use support::{Result, run};

/// In the environment of a candidate's process: connection string, address, number of elections, lease in milliseconds.
const CANDIDATE: &str = "PG_LEADER_BENCH_MANY";
/// A hang fails, noise does not.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOKS: Duration = Duration::from_millis(5);
/// Two locks an election, and room for those that a term takes when it begins.
const LOCKS: &str = "256";

fn main() -> ExitCode {
    match std::env::var(CANDIDATE) {
        Ok(task) => candidate(&task),
        Err(_) => run(bench),
    }
}

/// It takes part in all, and does nothing while it leads.
fn candidate(task: &str) -> ExitCode {
    let fields: Vec<&str> = task.split('\n').collect();
    let [conninfo, address, elections, lease] = fields[..] else {
        return ExitCode::FAILURE;
    };
    let (Ok(elections), Ok(lease)) = (elections.parse::<u32>(), lease.parse()) else {
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = Config::new(conninfo).lease(Duration::from_millis(lease));
        let elector = Elector::connect(config).await.expect("the server is fit");
        for number in 0..elections {
            let name = format!("e{number}");
            let idle = |term: Term| {
                term.ready();
                std::future::pending::<()>()
            };
            let candidacy = elector.campaign((&name, address), idle);
            candidacy.expect("its first").detach();
        }
        std::future::pending().await
    })
}

async fn bench(arguments: &Arguments) -> Result<bool> {
    let counts: &[u32] = match (arguments.quick, arguments.check) {
        (true, _) => &[100],
        (_, true) => &[1000],
        _ => &[1000, 5000],
    };
    let mut marks = Marks::default();
    let mut rows = vec![];
    let mut described = String::new();
    for &count in counts {
        let cluster = Cluster::builder()
            .setting("fsync", if arguments.fsync { "on" } else { "off" })
            .setting("max_locks_per_transaction", LOCKS)
            .setting("autovacuum", "off")
            .setting("checkpoint_timeout", "1h")
            .start()?;
        let stage = Stage::on(cluster).await?;
        if described.is_empty() {
            described = stage.describe().await?;
            eprintln!("{described}");
        }
        let crowd = Crowd {
            stage,
            count,
            lease: arguments.lease,
        };
        let took = crowd.measure().await;
        let took =
            took.map_err(|error| format!("{count}: {error}\n{}", crowd.stage.cluster.log()))?;
        for (what, took, leases) in took {
            // Five thousand within five times what a thousand may take, but for the two leases of silence.
            let limit = arguments.lease * leases.max(count / 1000);
            let mark = format!("{} ms", limit.as_millis());
            let cell = marks.judge(
                &format!("{count}, {what}"),
                &mark,
                milliseconds(took),
                milliseconds(limit),
            );
            eprintln!("{count}, {what}: {:.0} ms", milliseconds(took));
            rows.push(vec![
                count.to_string(),
                what.to_owned(),
                format!("{:.0}", milliseconds(took)),
                cell,
            ]);
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{described}\n\nLease {:?}; load at the end {}.\n",
        arguments.lease,
        load.trim()
    );
    println!(
        "{}",
        table(&["elections", "until all are", "ms", "marks"], &rows)
    );
    Ok(arguments.quick || marks.hold())
}

struct Crowd {
    stage: Stage,
    count: u32,
    lease: Duration,
}

impl Crowd {
    /// What was waited for, how long, and how many leases it may take.
    async fn measure(&self) -> Result<Vec<(&'static str, Duration, u32)>> {
        let mut took = vec![];
        let mut first = self.start("first")?;
        let joined = "SELECT count(*) FROM pgleader.candidate WHERE address = 'first'";
        took.push(("joined", self.until(joined, self.count).await?, 1));
        self.until(&led_by("first"), self.count).await?;
        let second = self.start("second")?;
        self.until(FOLLOWED, self.count).await?;
        first.kill()?;
        took.push((
            "led again after kill -9",
            self.until(&led_by("second"), self.count).await?,
            1,
        ));
        let _third = self.start("third")?;
        self.until(FOLLOWED, self.count).await?;
        second.stop()?;
        took.push((
            "led again after SIGSTOP",
            self.until(&led_by("third"), self.count).await?,
            2,
        ));
        let terms = self.number("SELECT count(*) FROM pgleader.term").await?;
        match terms == i64::from(self.count) * 3 {
            true => Ok(took),
            false => Err(format!("{terms} terms were begun").into()),
        }
    }

    fn start(&self, address: &str) -> Result<Process> {
        let mut command = Process::this_binary()?;
        let lease = self.lease.as_millis();
        let conninfo = self.stage.cluster.url();
        command.env(
            CANDIDATE,
            format!("{conninfo}\n{address}\n{}\n{lease}", self.count),
        );
        Ok(Process::start(command)?)
    }

    async fn until(&self, count: &str, wanted: u32) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let found = self.number(count).await?;
            if found >= i64::from(wanted) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{found} of {wanted}: {count}").into());
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn number(&self, count: &str) -> Result<i64> {
        Ok(self.stage.client.query_one(count, &[]).await?.try_get(0)?)
    }
}

/// Each has a successor.
const FOLLOWED: &str =
    "SELECT count(*) FROM pgleader.lock WHERE kind = 'pgleader.candidate'::regclass AND granted";

fn led_by(address: &str) -> String {
    format!(
        "SELECT count(*) FROM pgleader.election WHERE state = 'leading' AND address = '{address}'"
    )
}
