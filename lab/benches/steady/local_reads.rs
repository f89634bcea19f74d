//! What it costs to ask this process how an election stands: no query, no lock, no task.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use pg_leader::{Candidacy, Elector, ProcessState, Term};
use tokio::sync::oneshot;

use crate::support::Result;
use crate::support::figures::{Distribution, Marks};
use crate::support::stage::Stage;

const ROUNDS: usize = 101;
const CALLS: u32 = 10_000;

/// A row each: what was read, nanoseconds a call, the mark.
pub(crate) async fn measure(stage: &Stage, marks: &mut Marks) -> Result<Vec<Vec<String>>> {
    let url = stage.cluster.url();
    let (leads, led) = oneshot::channel();
    let mut leads = Some(leads);
    let lead = move |term: Term| {
        if let Some(leads) = leads.take() {
            let _ = leads.send(term.clone());
        }
        async move {
            term.ready();
            std::future::pending::<std::result::Result<(), Infallible>>().await
        }
    };
    let leading = Elector::connect(&url).await?;
    let leader = leading.campaign(("local", "10.0.0.5:8080"), lead)?;
    let term = led.await?;
    let following = Elector::connect(&url).await?;
    let follower = following.campaign(("local", "10.0.0.6:8080"), |_| async {
        Ok::<(), Infallible>(())
    })?;
    until(|| leader.state() == ProcessState::Leading && follower.address().is_ok()).await?;

    let rows = vec![
        row("`state()` of the leader", || leader.state(), marks),
        row("`state()` of a follower", || follower.state(), marks),
        row("`address()` at the leader", || address(&leader), marks),
        row("`address()` at a follower", || address(&follower), marks),
        row("`is_current()`", || term.is_current(), marks),
    ];
    if !term.is_current() {
        return Err("the term ended while it was read".into());
    }
    following.shutdown().await;
    leading.shutdown().await;
    Ok(rows)
}

fn address(leader: &Candidacy) -> bool {
    black_box(leader.address()).is_ok()
}

fn row<T>(name: &str, mut read: impl FnMut() -> T, marks: &mut Marks) -> Vec<String> {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(read());
        }
        started.elapsed()
    });
    let median = Distribution::of(rounds.collect()).median();
    let nanoseconds = median.as_secs_f64() / f64::from(CALLS) * 1e9;
    vec![
        name.to_owned(),
        format!("{nanoseconds:.1}"),
        marks.judge(name, "< 100", nanoseconds, 100.0),
    ]
}

async fn until(mut condition: impl FnMut() -> bool) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(30);
    while !condition() {
        if Instant::now() > patience {
            return Err("nobody leads".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
