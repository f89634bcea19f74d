//! The work of a term: one run of the command.

use std::io;
use std::pin::pin;
use std::time::Duration;

use pg_leader::Term;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::guard::{Guard, Task};
use crate::message::{Ended, Report};

/// The guard is told how long the term lasts so often.
fn extension_interval(lease: Duration) -> Duration {
    lease / 20
}

/// Run the command until it ends by itself, the term does, or `hurry` is cancelled. Everything that it has
/// started is dead when this returns, fails or is dropped.
pub(super) async fn run(term: &Term, task: &Task, hurry: &CancellationToken) -> io::Result<Ended> {
    let mut ending = pin!(term.ending());
    task.readiness.reset()?;
    let mut guard = Guard::start(task, term)?;
    let mut ready = pin!(task.readiness.reached());
    let mut extend = interval(extension_interval(task.lease));
    extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_ready, mut is_ending, mut is_hurried) = (false, false, false);
    loop {
        tokio::select! {
            report = guard.report() => match report? {
                Report::Started { group } => {
                    tracing::info!(group, "started the command");
                }
                Report::Ready => term.ready(),
                Report::Ended(ended) => return Ok(ended),
            },
            () = &mut ready, if !is_ready => {
                is_ready = true;
                term.ready();
            }
            () = &mut ending, if !is_ending => {
                is_ending = true;
                guard.end(task.grace)?;
            }
            () = hurry.cancelled(), if !is_hurried => {
                is_hurried = true;
                guard.end(Duration::ZERO)?;
            }
            _ = extend.tick() => guard.extend(term)?,
        }
    }
}
