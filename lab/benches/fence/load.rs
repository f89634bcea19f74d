//! Clients that run one transaction again and again, in slices that take turns with and without a fence.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio_postgres::{Client, NoTls, Statement};

use crate::support::Result;
use crate::support::arguments::Arguments;
use crate::support::stage::Stage;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    /// As `pgbench -M prepared`.
    Prepared,
    /// As `pgbench -M simple`.
    Simple,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Isolation {
    ReadCommitted,
    RepeatableRead,
}

impl Isolation {
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        }
    }
}

pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    pub(crate) isolation: Isolation,
    pub(crate) clients: usize,
    pub(crate) term: i64,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let isolation = match self.isolation {
            Isolation::ReadCommitted => "READ COMMITTED",
            Isolation::RepeatableRead => "REPEATABLE READ",
        };
        let protocol = match self.protocol {
            Protocol::Prepared => "prepared",
            Protocol::Simple => "simple protocol",
        };
        let clients = self.clients;
        let plural = if clients == 1 { "" } else { "s" };
        write!(f, "{isolation}, {protocol}, {clients} client{plural}")
    }
}

/// Each transaction as it is, with a statement more that does nothing, with a fence.
const KINDS: usize = 3;

pub(crate) struct Cost {
    /// Transactions a second.
    pub(crate) rates: [f64; KINDS],
    /// Microseconds of the backends' processor time, a transaction.
    pub(crate) server: [f64; KINDS],
    /// What the second and the third kind need more than the first, in the same round.
    pub(crate) more: [f64; KINDS - 1],
    /// What a fence needs more, in the quietest tenth of each: what a busy machine adds is left out.
    pub(crate) quiet: f64,
}

impl Cost {
    pub(crate) fn fence_more(&self) -> f64 {
        self.more[1]
    }
}

struct Slice {
    rate: f64,
    server: f64,
}

impl Load {
    /// The median of many rounds. A round is a slice of each kind, so short that what else the machine does is
    /// the same for all three.
    pub(crate) async fn measure(&self, stage: &Stage, arguments: &Arguments) -> Result<Cost> {
        let slice = Duration::from_millis(if arguments.quick { 50 } else { 200 });
        let rounds = usize::try_from(arguments.part_of(41))?;
        stage
            .client
            .batch_execute(
                "DROP TABLE IF EXISTS account; \
                 CREATE TABLE account (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 10); \
                 INSERT INTO account SELECT n, 0 FROM generate_series(1, 16) AS n",
            )
            .await?;
        let clients = (1..=self.clients).map(|id| self.client(stage, id));
        let clients = try_join_all(clients).await?;
        for kind in 0..KINDS {
            run(&clients, kind, slice).await?;
        }
        let mut all: [Vec<Slice>; KINDS] = Default::default();
        for round in 0..rounds {
            for turn in 0..KINDS {
                let kind = (round + turn) % KINDS;
                all[kind].push(run(&clients, kind, slice).await?);
            }
        }
        let of = |figure: fn(&Slice) -> f64| {
            all.each_ref()
                .map(|slices| median(slices.iter().map(figure)))
        };
        let more = |kind: usize| {
            let pairs = all[kind].iter().zip(&all[0]);
            median(pairs.map(|(slice, plain)| slice.server - plain.server))
        };
        let quiet = |kind: usize| percentile(10, all[kind].iter().map(|slice| slice.server));
        Ok(Cost {
            rates: of(|slice| slice.rate),
            server: of(|slice| slice.server),
            more: [more(1), more(2)],
            quiet: quiet(2) - quiet(0),
        })
    }

    async fn client(&self, stage: &Stage, id: usize) -> Result<Writer> {
        let conninfo = stage.cluster.socket_conninfo();
        let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await?;
        tokio::spawn(connection);
        let fence = format!("SELECT pgleader.fence('fence', {})", self.term);
        let update = format!("UPDATE account SET balance = balance + 1 WHERE id = {id}");
        let texts = [
            self.isolation.begin(),
            "SELECT 1",
            &fence,
            &update,
            "COMMIT",
        ];
        let mut statements = vec![];
        for text in texts {
            statements.push(Step {
                prepared: match self.protocol {
                    Protocol::Prepared => Some(client.prepare(text).await?),
                    Protocol::Simple => None,
                },
                text: text.to_owned(),
            });
        }
        let [begin, nothing, fence, update, commit] =
            statements.try_into().map_err(|_| "five statements")?;
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
        Ok(Writer {
            pid: row.try_get(0)?,
            client,
            begin,
            extra: [nothing, fence],
            update,
            commit,
        })
    }
}

struct Step {
    text: String,
    prepared: Option<Statement>,
}

struct Writer {
    client: Client,
    pid: i32,
    begin: Step,
    extra: [Step; KINDS - 1],
    update: Step,
    commit: Step,
}

impl Writer {
    async fn step(&self, step: &Step) -> Result<()> {
        match &step.prepared {
            Some(statement) => drop(self.client.execute(statement, &[]).await?),
            None => self.client.batch_execute(&step.text).await?,
        }
        Ok(())
    }

    async fn transaction(&self, kind: usize) -> Result<()> {
        self.step(&self.begin).await?;
        if kind > 0 {
            self.step(&self.extra[kind - 1]).await?;
        }
        self.step(&self.update).await?;
        self.step(&self.commit).await
    }

    /// Time on a processor so far, by the scheduler's own count in nanoseconds.
    fn processor_time(&self) -> Result<Duration> {
        let counts = fs::read_to_string(format!("/proc/{}/schedstat", self.pid))?;
        let running = counts.split(' ').next().ok_or("no counts")?;
        Ok(Duration::from_nanos(running.parse()?))
    }
}

async fn run(writers: &[Writer], kind: usize, slice: Duration) -> Result<Slice> {
    let processor_time = || -> Result<Duration> {
        writers
            .iter()
            .map(Writer::processor_time)
            .sum::<Result<Duration>>()
    };
    let (started, before) = (Instant::now(), processor_time()?);
    let end = started + slice;
    let busy = writers.iter().map(|writer| async move {
        let mut transactions = 0_u32;
        while Instant::now() < end {
            writer.transaction(kind).await?;
            transactions += 1;
        }
        Ok::<u32, pg_leader_lab::Error>(transactions)
    });
    let transactions = f64::from(try_join_all(busy).await?.iter().sum::<u32>());
    let used = processor_time()? - before;
    Ok(Slice {
        rate: transactions / started.elapsed().as_secs_f64(),
        server: used.as_secs_f64() * 1e6 / transactions,
    })
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    percentile(50, figures)
}

fn percentile(percent: usize, figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let rank = (figures.len() * percent).div_ceil(100).max(1);
    figures.get(rank - 1).copied().unwrap_or(f64::NAN)
}
