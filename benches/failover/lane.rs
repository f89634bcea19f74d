//! One election between three processes, whose terms are ended one after the other.

use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;

use crate::scenario::Measured;
use crate::support::Result;
use crate::support::candidate::Task;
use crate::support::clock;
use crate::support::journal::Journal;
use crate::support::process::Process;
use crate::support::stage::Stage;

const CANDIDATES: i64 = 3;
/// A hang fails, noise does not.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// The leader resigns.
    Orderly,
    /// An operator ends the session of a leader that lives.
    KilledSession,
    KilledProcess,
    StoppedProcess,
}

pub(crate) struct Lane<'a> {
    stage: &'a Stage,
    task: Task,
    journal: Rc<Journal>,
    processes: Vec<Process>,
    started: u32,
    ended: u32,
}

/// Somebody leads, somebody is the successor, and all take part.
struct Settled {
    term: u64,
    address: String,
    backend: i32,
}

impl<'a> Lane<'a> {
    pub(crate) fn start(
        stage: &'a Stage,
        election: &str,
        conninfo: String,
        lease: Duration,
    ) -> Result<Self> {
        let mut lane = Lane {
            stage,
            task: Task {
                conninfo,
                lease,
                retry_interval: lease * 5,
                election: election.to_owned(),
                count: 1,
                address: String::new(),
                pace: Duration::from_millis(2),
            },
            journal: Rc::default(),
            processes: vec![],
            started: 0,
            ended: 0,
        };
        for _ in 0..CANDIDATES {
            lane.join()?;
        }
        Ok(lane)
    }

    fn join(&mut self) -> Result<()> {
        self.started += 1;
        self.task.address = format!("{}:{}", self.task.election, self.started).replace(' ', "-");
        self.processes
            .push(Process::start(&self.task, &self.journal)?);
        Ok(())
    }

    /// End a term, and wait for the next one's work: how long nobody led.
    pub(crate) async fn end(&mut self, ending: Ending) -> Result<Duration> {
        let settled = self.settle().await?;
        self.pause().await;
        let Settled {
            term,
            address,
            backend,
        } = settled;
        let leader = self
            .processes
            .iter()
            .position(|process| process.address == address);
        let leader = leader.ok_or("a stranger leads")?;
        let process = &mut self.processes[leader];
        let journal = Rc::clone(&self.journal);
        let mut from = clock::now();
        match ending {
            Ending::Orderly => {
                process.resign().await?;
                from = journal.ended(term, PATIENCE).await?;
            }
            Ending::KilledSession => {
                let statement = "SELECT pg_terminate_backend($1)";
                self.stage.client.query_one(statement, &[&backend]).await?;
            }
            Ending::KilledProcess => {
                process.signal(Signal::KILL)?;
            }
            Ending::StoppedProcess => {
                process.stop().await?;
                journal.stopped(term, clock::now());
            }
        }
        let next = journal.after(term, PATIENCE).await?;
        match ending {
            Ending::Orderly | Ending::KilledSession => {}
            Ending::KilledProcess => {
                self.processes[leader].ended().await?;
                self.processes.remove(leader);
                self.join()?;
            }
            Ending::StoppedProcess => self.processes[leader].signal(Signal::CONT)?,
        }
        Ok(Duration::from_nanos(next.began.saturating_sub(from)))
    }

    async fn settle(&self) -> Result<Settled> {
        // A process that loses a session younger than its lease hesitates before it reconnects.
        let statement = "SELECT s.term, s.address, s.leader_pid FROM pgleader.status AS s \
                         JOIN pg_stat_activity AS a ON a.pid = s.leader_pid \
                         WHERE s.name = $1 AND s.state = 'leading' AND s.successor IS NOT NULL \
                           AND s.candidates = $2 AND now() - a.backend_start > s.lease";
        let election = format!("{}-0", self.task.election);
        let settled = async {
            loop {
                let rows = self
                    .stage
                    .client
                    .query(statement, &[&election, &CANDIDATES])
                    .await?;
                let last = self.journal.last();
                if let ([row], Some((term, span))) = (&rows[..], last)
                    && u64::try_from(row.try_get::<_, i64>(0)?)? == term
                {
                    return Ok(Settled {
                        term,
                        address: span.address,
                        backend: row.try_get(2)?,
                    });
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        settled.map_err(|_| format!("{election} did not settle: {:?}", self.journal.last()))?
    }

    /// So that endings come at every moment between two heartbeats and two probes alike.
    async fn pause(&mut self) {
        self.ended += 1;
        let golden = (f64::from(self.ended) * 0.618_033_988_75).fract();
        tokio::time::sleep((self.task.lease / 4).mul_f64(golden)).await;
    }

    /// Wait for what a woken process might still do, then judge.
    pub(crate) async fn finish(self, gaps: Vec<Duration>) -> Measured {
        tokio::time::sleep(self.task.lease / 2).await;
        Measured {
            gaps,
            announced: self.journal.announced(),
            overlaps: self.journal.overlaps(),
            cut: self.journal.cut(),
        }
    }
}
