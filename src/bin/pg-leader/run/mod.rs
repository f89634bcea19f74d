//! `pg-leader run`: a command that runs only while this process leads.

mod child;

use std::ffi::OsString;
use std::io;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use pg_leader::{Elector, Term};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::connection::Connection;
use crate::exit::Failure;
use child::Child;

/// Run a command only while this process leads.
///
/// Takes part in an election, and runs COMMAND whenever this process leads. It is ended, with everything in
/// its process group, before anybody else may lead.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The election to take part in. It comes into being with its first candidate.
    #[arg(long, value_name = "NAME")]
    election: String,

    /// Where the others reach this process while it leads. Any text: they are told it as it is.
    #[arg(long, value_name = "ADDR")]
    address: String,

    /// How long a leader may act on its last answered heartbeat.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    lease: humantime::Duration,

    /// How long the command may take to end by itself after SIGTERM, where the leadership is not lost.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: humantime::Duration,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// As `env`, `nohup` and `timeout` have it: what goes wrong here must not be taken for the command's status.
const OURSELVES: u8 = 125;

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        self.lead(connection)
            .await
            .map_err(|failure| failure.with_code(OURSELVES))
    }

    async fn lead(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let ends = |kind| {
            signal(kind).map_err(|error| Failure::system("cannot listen for signals", &error))
        };
        let (mut terminate, mut interrupt) = (
            ends(SignalKind::terminate())?,
            ends(SignalKind::interrupt())?,
        );
        let config = connection
            .config()?
            .lease(self.lease.into())
            // The child's grace ends first, so that the work is never dropped while its child runs.
            .grace(Duration::from(self.grace) + Duration::from_secs(1));
        let elector = Elector::connect(config).await?;
        let grace = self.grace.into();
        let command = Arc::new(self.command);
        let over = Arc::new(Notify::new());
        let status = Arc::new(std::sync::OnceLock::new());
        let (ended, kept) = (Arc::clone(&over), Arc::clone(&status));
        elector.campaign(&self.election, &self.address, move |term| {
            let (command, ended, kept) =
                (Arc::clone(&command), Arc::clone(&ended), Arc::clone(&kept));
            async move {
                if let Some(status) = work(&term, &command, grace).await? {
                    let _ = kept.set(status);
                    ended.notify_one();
                }
                Ok::<(), io::Error>(())
            }
        })?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = over.notified() => {}
        }
        elector.shutdown().await;
        Ok(status
            .get()
            .map_or(ExitCode::SUCCESS, |status| code(*status)))
    }
}

/// The work of a term: the command, until it ends by itself or the term does. Its status in the first case.
async fn work(
    term: &Term,
    command: &[OsString],
    grace: Duration,
) -> io::Result<Option<ExitStatus>> {
    let deposed = term.deposed();
    let mut child = Child::start(command, term)?;
    term.ready();
    tokio::select! {
        status = child.ended() => return status.map(Some),
        () = deposed => {}
    }
    child.end(term, grace).await?;
    Ok(None)
}

/// A command that a signal ended has 128 and its number, as in a shell.
fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok())
            .unwrap_or(OURSELVES),
    )
}
