//! One crowd of candidates: started, left to settle, watched for a while.

use std::fmt;
use std::time::{Duration, Instant};

use pg_leader_lab::candidate::Task;
use pg_leader_lab::contest::Contest;
use pg_leader_lab::record::Work;
use tokio_postgres::Client;

use crate::operating_system;
use crate::server::{self, Sample, Writes};
use crate::support::Result;
use crate::support::arguments::Arguments;
use crate::support::stage::Stage;

const PROCESSES: u32 = 4;
/// So often the server's counts are read.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    /// How many each process takes part in; 0: there are no processes.
    pub(crate) elections: u32,
    /// The first leader's session is killed before the measurement: the others then share out who leads
    /// and who is the successor, and several of them probe.
    pub(crate) after_failover: bool,
}

struct Process {
    address: String,
    number: i32,
}

pub(crate) struct Cost {
    pub(crate) queries: f64,
    pub(crate) wal_bytes: u64,
    pub(crate) transaction_ids: u64,
    pub(crate) rows_written: u64,
    pub(crate) dead_rows: u64,
    pub(crate) connections: usize,
    /// The leader (of the first election), then the followers.
    pub(crate) processes: Vec<OfProcess>,
}

pub(crate) struct OfProcess {
    /// In percent of one processor.
    pub(crate) cpu: f64,
    pub(crate) backend_cpu: f64,
    /// In bytes.
    pub(crate) resident: u64,
    pub(crate) private: u64,
}

pub(crate) fn window(arguments: &Arguments) -> Duration {
    Duration::from_secs(match (arguments.quick, arguments.check) {
        (true, _) => 3,
        (_, true) => 10,
        _ => 20,
    })
}

pub(crate) fn retry_interval(lease: Duration) -> Duration {
    lease * 5
}

impl Crowd {
    pub(crate) async fn measure(
        &self,
        stage: &Stage,
        watch: &Client,
        arguments: &Arguments,
    ) -> Result<Cost> {
        let (_contest, processes) = self.gather(stage, arguments).await?;
        // Everybody has tried once more, too, since the start.
        let quiet = if arguments.quick { 3 } else { 26 };
        server::until_quiet(watch, Duration::from_secs(quiet)).await?;

        let rows = Writes::read(&stage.client).await?;
        let backends = server::backends(watch).await?;
        let cpu = |pid: i32| operating_system::cpu_time(pid);
        let cpus = |pids: &[i32]| pids.iter().map(|pid| cpu(*pid)).collect::<Result<Vec<_>>>();
        let pids: Vec<i32> = processes.iter().map(|process| process.number).collect();
        let serving: Vec<i32> = processes
            .iter()
            .filter_map(|process| backends.get(&process.address).copied())
            .collect();
        // What this session did in the candidates' database is counted before the window opens.
        tokio::time::sleep(Duration::from_secs(2)).await;

        let started = Instant::now();
        let (first_cpu, first_backend_cpu) = (cpus(&pids)?, cpus(&serving)?);
        let mut samples = vec![];
        while started.elapsed() < window(arguments) {
            samples.push(Sample::read(watch).await?);
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
        samples.push(Sample::read(watch).await?);
        let elapsed = started.elapsed();
        let (last_cpu, last_backend_cpu) = (cpus(&pids)?, cpus(&serving)?);
        let connections = server::backends(watch).await?.len();
        let written = Writes::read(&stage.client).await?;

        let percent = |first: Option<&Duration>, last: Option<&Duration>| match (first, last) {
            (Some(first), Some(last)) => {
                (*last - *first).as_secs_f64() / elapsed.as_secs_f64() * 100.0
            }
            _ => f64::NAN,
        };
        let of_processes = processes.iter().enumerate().map(|(index, process)| {
            let memory = operating_system::memory(process.number)?;
            Ok(OfProcess {
                cpu: percent(first_cpu.get(index), last_cpu.get(index)),
                backend_cpu: percent(first_backend_cpu.get(index), last_backend_cpu.get(index)),
                resident: memory.resident,
                private: memory.private,
            })
        });
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        Ok(Cost {
            queries: server::rate(&samples),
            wal_bytes: last.wal_bytes - first.wal_bytes,
            transaction_ids: last.next_transaction_id - first.next_transaction_id,
            rows_written: written.rows - rows.rows,
            dead_rows: written.dead.saturating_sub(rows.dead),
            connections,
            processes: of_processes.collect::<Result<Vec<_>>>()?,
        })
    }

    /// The first process leads in every election before the others come.
    async fn gather(
        &self,
        stage: &Stage,
        arguments: &Arguments,
    ) -> Result<(Contest, Vec<Process>)> {
        let name = self.to_string().replace(' ', "-");
        let elections = (0..self.elections).map(|number| format!("{name}-{number}"));
        let mut contest = Contest::new(Task {
            elections: elections.collect(),
            retry_interval: Some(retry_interval(arguments.lease)),
            work: Work::Idle,
            ..Task::new(&stage.cluster.url(), "", arguments.lease)
        });
        if self.elections == 0 {
            return Ok((contest, vec![]));
        }
        for number in 0..PROCESSES {
            contest.join(&format!("{name}:{number}"))?;
            let successors = number > 0;
            self.settled(stage, &name, successors, i64::from(number + 1), "")
                .await?;
        }
        let process = |(address, number, _)| -> Result<Process> {
            let number = i32::try_from(number)?;
            Ok(Process { address, number })
        };
        let processes = contest.rows().into_iter().map(process);
        let mut processes = processes.collect::<Result<Vec<_>>>()?;
        if self.after_failover {
            let first = &processes[0].address;
            stage.cluster.terminate_leader(&format!("{name}-0"))?;
            self.settled(stage, &name, true, i64::from(PROCESSES), first)
                .await?;
            let statement = "SELECT address FROM pgleader.status WHERE name = $1";
            let row = stage
                .client
                .query_one(statement, &[&format!("{name}-0")])
                .await?;
            let leader: String = row.try_get(0)?;
            processes.sort_by_key(|process| process.address != leader);
        }
        Ok((contest, processes))
    }

    /// Wait until somebody but `deposed` leads in every election, and all take part.
    async fn settled(
        &self,
        stage: &Stage,
        election: &str,
        successors: bool,
        candidates: i64,
        deposed: &str,
    ) -> Result<()> {
        let statement = "SELECT count(*) FROM pgleader.status \
                         WHERE starts_with(name, $1) AND state = 'leading' AND address <> $4 \
                           AND (successor IS NOT NULL OR NOT $2) AND candidates = $3";
        let prefix = format!("{election}-");
        let settled = async {
            loop {
                let row = stage
                    .client
                    .query_one(statement, &[&prefix, &successors, &candidates, &deposed])
                    .await?;
                if row.try_get::<_, i64>(0)? == i64::from(self.elections) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(60), settled).await;
        settled.map_err(|_| format!("{candidates} candidates did not settle"))?
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.elections {
            0 => f.write_str("no candidates"),
            1 => f.write_str("1 election"),
            many if self.after_failover => write!(f, "{many} elections, after a failover"),
            many => write!(f, "{many} elections"),
        }
    }
}
