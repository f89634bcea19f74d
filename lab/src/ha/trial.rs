//! One event on one way to the primary: what is measured, and what must hold.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

use super::befall;
use super::cluster::Cluster;
use super::event::Event;
use super::path::Path;
use super::questions::{self, Open};
use super::sight::Sights;
use crate::Result;
use crate::candidate::Task;
use crate::contest::Contest;
use crate::judge::{self, Span};
use crate::record::now;

pub(super) const ELECTION: &str = "billing";

const CANDIDATES: [&str; 3] = ["one", "two", "three"];

/// Until a primary is writable, or somebody leads. Patroni's leader key takes 20 s to expire.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody may lead a little before it is seen that the primary is writable.
const SLACK: Duration = Duration::from_millis(200);

/// How all stood before the event.
pub(super) struct Stand {
    pub(super) primary: usize,
    term: i64,
    fence: String,
    open: Open,
}

/// What came of one trial.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) path: Path,
    pub(super) event: Event,
    /// From the event until a primary took a write.
    pub(super) writable: Duration,
    /// From there until somebody worked in a new term.
    pub(super) led: Duration,
    pub(super) overlap: Duration,
    /// What the old term's fence said on the new primary.
    pub(super) fence: String,
    /// What became of the transaction that was open on the old one.
    pub(super) open: String,
    /// Invariants that broke, in words.
    pub(super) broken: Vec<String>,
}

pub(super) async fn run(
    cluster: &mut Cluster,
    path: Path,
    event: Event,
    lease: Duration,
) -> Result<Outcome> {
    let failed = |error: crate::Error| {
        // What a server says is in the source.
        let source = error.source().map(|source| format!(": {source}"));
        let source = source.unwrap_or_default();
        format!("{}, {}: {error}{source}", event.name(), path.name())
    };
    cluster.until_whole().await?;
    let mut task = Task::new(&path.conninfo(cluster), ELECTION, lease);
    task.patient = true;
    task.writes = true;
    task.log = "warn".to_owned();
    let mut contest = Contest::new(task);
    for candidate in CANDIDATES {
        contest.join(candidate)?;
    }
    let outcome = perform(cluster, &mut contest, path, event, lease).await;
    Ok(outcome.map_err(failed)?)
}

async fn perform(
    cluster: &mut Cluster,
    contest: &mut Contest,
    path: Path,
    event: Event,
    lease: Duration,
) -> Result<Outcome> {
    leader(contest, 0).await?;
    befall::prepare(event, cluster, contest).await?;
    let stand = stand(cluster, contest).await?;
    let sights = Sights::begin(cluster);
    timeout(PATIENCE, sights.until_seen(stand.primary)).await?;

    let began = now();
    befall::strike(event, cluster, stand.primary).await?;
    let writable = timeout(PATIENCE, sights.until_writable(began)).await;
    let (primary, writable) = writable.map_err(|_| "no primary is writable")?;
    let earliest = writable.saturating_sub(u64::try_from(SLACK.as_nanos())?);
    let url = cluster.members[primary].url();
    let led = until_led_on(&url, contest, stand.term, earliest).await;

    let refusal = questions::refusal(&url, &stand.fence).await?;
    let commit = stand.open.commit().await;
    befall::follow(event, cluster, contest, &stand)?;
    // Whoever worked on unseen is given the time to be seen.
    tokio::time::sleep(lease * 3).await;
    drop(sights);
    let primary = cluster.heal().await?;
    tokio::time::sleep(lease * 2).await;
    befall::undo(event, cluster).await?;
    contest.check()?;

    let url = cluster.members[primary].url();
    let mut outcome = Outcome {
        path,
        event,
        writable: Duration::from_nanos(writable.saturating_sub(began)),
        led: led.map_or(PATIENCE, |span| {
            Duration::from_nanos(span.first.saturating_sub(writable))
        }),
        overlap: Duration::ZERO,
        fence: refusal.unwrap_or_else(|| "passed".to_owned()),
        open: commit.to_owned(),
        broken: vec![],
    };
    let remained = stand.open.is_on(&url).await?;
    let leaked = questions::leaked(&url).await?;
    let spans = contest.ledger().spans()?;
    cluster.note(&timeline(&outcome, &spans, began))?;
    cluster.note(&format!("  said last:{}\n", contest.warnings()))?;
    outcome.judge(&spans, remained, leaked);
    Ok(outcome)
}

/// Who works in the newest term, that is not older than this one.
pub(super) async fn leader(contest: &Contest, least: i64) -> Result<Span> {
    let newest = contest.ledger().until(|spans| {
        let worked = spans
            .iter()
            .filter(|span| span.term >= least && span.steps > 0);
        worked.max_by_key(|span| span.term).cloned()
    });
    let newest = timeout(PATIENCE, newest).await;
    newest.map_err(|_| format!("nobody leads in a term from {least} on").into())
}

/// In a term that the new primary has on record: those on the old one are none of it.
async fn until_led_on(url: &str, contest: &Contest, old: i64, earliest: u64) -> Option<Span> {
    let next = async {
        let mut after = (old, earliest);
        loop {
            let (old, earliest) = after;
            let found = contest.ledger().until(|spans| {
                let later =
                    |span: &&Span| span.term != old && span.first >= earliest && span.steps > 0;
                let mut later: Vec<&Span> = spans.iter().filter(later).collect();
                later.sort_by_key(|span| span.first);
                later.first().copied().cloned()
            });
            let span = found.await;
            if questions::fence_of(url, span.term).await.is_ok() {
                return span;
            }
            after = (span.term, span.first);
        }
    };
    timeout(PATIENCE, next).await.ok()
}

async fn stand(cluster: &Cluster, contest: &Contest) -> Result<Stand> {
    let newest = leader(contest, 0).await?;
    let primary = cluster.primary().await?;
    let url = cluster.members[primary].url();
    let fence = questions::fence_of(&url, newest.term).await?;
    let open = Open::begin(&url, &fence, newest.term).await?;
    Ok(Stand {
        primary,
        term: newest.term,
        fence,
        open,
    })
}

/// Who worked when, in seconds since the event: for whoever looks into the logs.
fn timeline(outcome: &Outcome, spans: &[Span], began: u64) -> String {
    let since = |at: u64| (i128::from(at) - i128::from(began)) as f64 / 1e9;
    let mut text = format!("{}, {}\n", outcome.event.name(), outcome.path.name());
    for span in spans {
        let (process, term) = (&span.process, span.term);
        let (first, last) = (since(span.first), since(span.last));
        text.push_str(&format!(
            "  {process:>8} {term:>20} {first:8.3} to {last:8.3}\n"
        ));
    }
    text
}

impl Outcome {
    fn judge(&mut self, spans: &[Span], remained: bool, leaked: u64) {
        let all: Vec<&Span> = spans.iter().collect();
        let overlaps = judge::overlaps(&all);
        self.overlap = overlaps.iter().map(|overlap| overlap.lasts).sum();
        let mut broke = |words: String| self.broken.push(words);
        if !self.event.splits() {
            for overlap in overlaps {
                broke(format!(
                    "terms {} ({}) and {} ({}) worked at once for {:?}",
                    overlap.one.term,
                    overlap.one.process,
                    overlap.other.term,
                    overlap.other.process,
                    overlap.lasts
                ));
            }
        }
        for (one, other) in judge::shared_terms(&all) {
            broke(format!(
                "{} and {} worked in term {}",
                one.process, other.process, one.term
            ));
        }
        for (fallen, newest) in judge::fallen_terms(&all) {
            broke(format!(
                "term {} began after term {}",
                fallen.term, newest.term
            ));
        }
        if !self.fence.starts_with("PL") {
            broke(format!(
                "the old term's fence on the new primary: {}",
                self.fence
            ));
        }
        if remained {
            broke("what was open on the old primary is committed on the new one".to_owned());
        }
        if leaked > 0 {
            broke(format!(
                "{leaked} fenced rows were committed after a later term began"
            ));
        }
        if self.led >= PATIENCE {
            broke(format!(
                "nobody led within {PATIENCE:?} of a writable primary"
            ));
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, event) = (self.path.name(), self.event.name());
        let (writable, led, overlap) = (self.writable, self.led, self.overlap);
        write!(
            out,
            "{event}, {path}: writable after {writable:.2?}, led {led:.2?} later, overlap {overlap:.2?}, "
        )?;
        write!(out, "fence {}, open transaction {}", self.fence, self.open)?;
        self.broken
            .iter()
            .try_for_each(|broken| write!(out, "\n  BROKEN: {broken}"))
    }
}
