// cargo run --example cron -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! A worker that runs a job on a schedule, in the leader alone. It starts before its database does.
//!
//! Start it twice, the second time with another address. Ctrl-C or SIGTERM ends the one that leads in order: a job
//! under way is finished, then the other leads at once. `psql -c "SELECT pgleader.step_down('cron')"` does the same
//! from outside. After `kill -9`, or `psql -c "SELECT pgleader.depose('cron')"`, a job may be cut off in the middle: a
//! job must stand being run again.

use std::pin::pin;
use std::time::Duration;

use pg_leader::{Campaign, Config, Elector, Term};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    // A job that is under way when a supervisor says stop gets so long.
    let config = Config::new(database).grace(Duration::from_secs(20));
    let elector = Elector::start(config)?;
    let candidacy = elector.campaign(Campaign::new("cron", address).graceful(true), schedule)?;

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    println!("{}; shutting down", candidacy.state());
    elector.shutdown().await;
    Ok(())
}

/// The work of one term. It is graceful, so it is told of the end instead of being dropped where it stands.
async fn schedule(term: Term) {
    let mut ending = pin!(term.ending());
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    term.ready();
    loop {
        tokio::select! {
            biased;
            () = &mut ending => break,
            _ = ticks.tick() => job(&term).await,
        }
    }
    println!("term {}: no more jobs", term.number());
}

/// Hand the term's number to whatever the job writes to, so that it can refuse smaller ones.
async fn job(term: &Term) {
    println!("term {}: job begins", term.number());
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("term {}: job is done", term.number());
}
