//! One election between three processes, whose terms are ended one after the other.

use std::time::Duration;

use pg_leader_lab::candidate::Task;
use pg_leader_lab::contest::Contest;
use pg_leader_lab::judge::{self, Span, Spans};
use pg_leader_lab::record::now;

use crate::scenario::{Cut, Measured};
use crate::support::Result;
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
    election: String,
    lease: Duration,
    contest: Contest,
    started: u32,
    ended: u32,
}

/// Somebody leads, somebody is the successor, and all take part.
struct Settled {
    term: i64,
    address: String,
    backend: i32,
}

impl<'a> Lane<'a> {
    pub(crate) fn start(
        stage: &'a Stage,
        election: &str,
        conninfo: &str,
        lease: Duration,
    ) -> Result<Self> {
        let task = Task {
            retry_interval: Some(lease * 5),
            pace: Duration::from_millis(2),
            hears: true,
            ..Task::new(conninfo, election, lease)
        };
        let mut lane = Lane {
            stage,
            election: election.to_owned(),
            lease,
            contest: Contest::new(task),
            started: 0,
            ended: 0,
        };
        for _ in 0..CANDIDATES {
            lane.join()?;
        }
        Ok(lane)
    }

    /// At an address that nobody has had.
    fn join(&mut self) -> Result<()> {
        self.started += 1;
        let address = format!("{}:{}", self.election, self.started);
        self.contest.join(&address.replace(' ', "-"))
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
        let mut from = now();
        match ending {
            Ending::Orderly => {
                let order = format!("resign {}", self.election);
                self.contest.order(&address, &order)?;
                from = self.stopped(term).await?;
            }
            Ending::KilledSession => {
                let statement = "SELECT pg_terminate_backend($1)";
                self.stage.client.query_one(statement, &[&backend]).await?;
            }
            Ending::KilledProcess => {
                self.contest.strike(&address)?;
            }
            Ending::StoppedProcess => {
                self.contest.stop(&address)?;
            }
        }
        let began = self.began_after(term).await?;
        match ending {
            Ending::Orderly | Ending::KilledSession => {}
            Ending::KilledProcess => {
                self.contest.forget(&address);
                self.join()?;
            }
            Ending::StoppedProcess => self.contest.go_on(&address)?,
        }
        Ok(Duration::from_nanos(began.saturating_sub(from)))
    }

    /// When the work of a term was over, once it is.
    async fn stopped(&self, term: i64) -> Result<u64> {
        let stopped = |spans: &Spans| spans.iter().find(|span| span.term == term)?.stopped;
        self.once(stopped)
            .await
            .ok_or_else(|| format!("the work of term {term} did not end").into())
    }

    /// When the work of a term after `term` began, once it has.
    async fn began_after(&self, term: i64) -> Result<u64> {
        let began = |spans: &Spans| {
            let later = spans.iter().filter(|span| span.term > term);
            later.map(|span| span.first).min()
        };
        self.once(began)
            .await
            .ok_or_else(|| format!("nobody worked after term {term}").into())
    }

    /// What is found in all that was written down, as soon as it is.
    async fn once<T>(&self, find: impl Fn(&Spans) -> Option<T>) -> Option<T> {
        let found = self.contest.ledger().until(find);
        tokio::time::timeout(PATIENCE, found).await.ok()
    }

    async fn settle(&self) -> Result<Settled> {
        // A process that loses a session younger than its lease hesitates before it reconnects.
        let statement = "SELECT s.term, s.address, s.leader_pid FROM pgleader.status AS s \
                         JOIN pg_stat_activity AS a ON a.pid = s.leader_pid \
                         WHERE s.name = $1 AND s.state = 'leading' AND s.successor IS NOT NULL \
                           AND s.candidates = $2 AND now() - a.backend_start > s.lease";
        let settled = async {
            loop {
                let rows = self
                    .stage
                    .client
                    .query(statement, &[&self.election, &CANDIDATES])
                    .await?;
                let last = self.last()?;
                if let ([row], Some(span)) = (&rows[..], last)
                    && row.try_get::<_, i64>(0)? == span.term
                {
                    return Ok(Settled {
                        term: span.term,
                        address: span.process,
                        backend: row.try_get(2)?,
                    });
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        settled.map_err(|_| {
            let warnings = self.contest.warnings();
            format!(
                "{} did not settle: {:?}{warnings}",
                self.election,
                self.last()
            )
        })?
    }

    /// The work of the newest term.
    fn last(&self) -> Result<Option<Span>> {
        let spans = self.contest.ledger().spans()?;
        Ok(spans.into_iter().max_by_key(|span| span.term))
    }

    /// So that endings come at every moment between two heartbeats and two probes alike.
    async fn pause(&mut self) {
        self.ended += 1;
        let golden = (f64::from(self.ended) * 0.618_033_988_75).fract();
        tokio::time::sleep((self.lease / 4).mul_f64(golden)).await;
    }

    /// Wait for what a woken process might still do, then judge.
    pub(crate) async fn finish(self, gaps: Vec<Duration>) -> Result<Measured> {
        tokio::time::sleep(self.lease / 2).await;
        let spans = self.contest.ledger().spans()?;
        // Also a drop counts as work.
        let to_the_drop = |span: &Span| Span {
            last: span.end(),
            ..span.clone()
        };
        let worked: Vec<Span> = spans.iter().map(to_the_drop).collect();
        let worked: Vec<&Span> = worked.iter().collect();
        let overlaps = judge::overlaps(&worked).len() + judge::shared_terms(&worked).len();
        Ok(Measured {
            gaps,
            announced: self.announced(&spans),
            overlaps: u64::try_from(overlaps)?,
            cut: Cut::of(&judge::ended_in_anothers_term(&worked)),
        })
    }

    /// From the start of each new leader's work to each other process's knowing his address.
    fn announced(&self, spans: &[Span]) -> Vec<Duration> {
        let heard = self.contest.ledger().heard();
        let others = heard.iter().filter_map(|heard| {
            let span = spans.iter().find(|span| span.term == heard.term)?;
            // The first leader was there before the others came.
            (heard.by != span.process && heard.term > 1)
                .then(|| Duration::from_nanos(heard.at.saturating_sub(span.first)))
        });
        others.collect()
    }
}
