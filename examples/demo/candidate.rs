//! One candidate, in a process of its own. Standard output is the file that takes its steps.

use std::process::ExitCode;
use std::time::Duration;

use pg_leader::{Config, Term};
use tokio::io::AsyncReadExt;

use crate::arguments::Arguments;
use crate::{Error, LEASE, record};

pub(crate) async fn run(
    arguments: &Arguments,
    election: &str,
    address: &str,
) -> Result<ExitCode, Error> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let url = arguments
        .named_database()
        .ok_or("a candidate needs a database")?;
    let config = Config::new(url)
        .lease(LEASE)
        .application_name("pg-leader demo");
    let leader = pg_leader::run(config, election, address, work).await?;

    // The demo holds the other end. It says nothing; when it closes it, or dies, this ends.
    let _ = tokio::io::stdin().read(&mut [0]).await;
    leader.elector().shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// What the leader does: a step each millisecond. It asks nobody whether it may go on: it is dropped.
async fn work(term: Term) -> Result<(), std::io::Error> {
    term.ready();
    loop {
        record::step(term.number())?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
