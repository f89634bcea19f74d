//! A worker that runs a job on a schedule, in the leader alone.
//!
//! ```text
//! cargo run --example cron -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! cargo run --example cron -- postgres://postgres@localhost/postgres 127.0.0.1:8002
//! ```
//!
//! Start it twice. Ctrl-C or SIGTERM ends the one that leads in order: a job under way is finished, then the
//! other leads at once. `psql -c "SELECT pgleader.step_down('cron')"` does the same from outside. After
//! `kill -9`, or `psql -c "SELECT pgleader.depose('cron')"`, a job may be cut off in the middle: a job must
//! stand being run again.

use std::pin::pin;
use std::time::Duration;

use pg_leader::{Config, Elector, Term};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    // A job that is under way when a supervisor says stop gets so long.
    let config = Config::new(database).grace(Duration::from_secs(20));
    let elector = Elector::connect(config).await?;
    let leader = elector.campaign("cron", &address, schedule)?;

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    println!("{}; shutting down", leader.state());
    elector.shutdown().await;
    Ok(())
}

/// The work of one term.
async fn schedule(term: Term) -> Result<(), std::io::Error> {
    // Asked for before anything else: work that never asks is dropped where it stands.
    let mut deposed = pin!(term.deposed());
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    term.ready();
    loop {
        tokio::select! {
            biased;
            () = &mut deposed => break,
            _ = ticks.tick() => {}
        }
        // A process that was stopped wakes up here, before it has been told anything.
        if !term.is_current() {
            break;
        }
        job(&term).await?;
    }
    println!("term {}: no more jobs", term.number());
    Ok(())
}

/// Hand the term's number to whatever the job writes to, so that it can refuse smaller ones.
async fn job(term: &Term) -> Result<(), std::io::Error> {
    println!("term {}: job begins", term.number());
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("term {}: job is done", term.number());
    Ok(())
}
