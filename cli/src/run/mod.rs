//! `pg-leader run`: a command that runs only while this process leads.

mod children;
mod guard;
mod on_exit;
mod ready;
mod signals;
mod takeover;
mod talk;
mod work;

use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use pg_leader::{Campaign, Candidacy, Elector, ProcessState, Term};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::exit::{Failure, OURSELVES};
use crate::message::Ended;
use crate::platform::processes;
use children::Children;
use guard::Task;
use on_exit::OnExit;
use signals::Signals;
use takeover::Takeover;

const HELP: &str = "\
How the command runs:

Its environment has PG_LEADER_ELECTION, PG_LEADER_TERM, PG_LEADER_TOKEN and PG_LEADER_ADDRESS. The term is a \
number that only grows: pass it along with what you write, or call pgleader.fence(election, term, token) in your \
transactions, and what comes too late is refused. DATABASE_URL is passed on as it is, PG_LEADER_DATABASE_URL is not. \
Standard output and error are those of pg-leader, and so is standard input \
unless it is a terminal. The command has a process group of its own, so Ctrl-C reaches pg-leader alone.

How the command ends:

  SIGTERM, SIGINT or SIGHUP   SIGTERM to the command's process group, SIGKILL after the
  to pg-leader                grace; then the leadership is given up in order. A second
                              signal: SIGKILL at once. What was ignored at the start, as
                              SIGHUP under nohup, stays ignored, also by the command.
  an operator asks for the    The same, and pg-leader stays a candidate.
  leadership
  the leadership is lost      SIGTERM; SIGKILL 0.8 of the lease after the last heartbeat
                              that was answered. Nobody else leads before 1.0.
  pg-leader is killed         SIGKILL at once, by the guard.
  with -9
  pg-leader is stopped,       As when the leadership is lost, by the guard.
  or hangs
  the guard is killed         SIGKILL at once, by the kernel and by pg-leader.
  the command ends by         SIGTERM to what it has left behind, SIGKILL after the
  itself                      grace; then --on-exit.

The guard (leader-guard in ps) is a process between the two. On Linux it finds everything that the command \
has started, also daemons that have left its process group, and the leadership passes on only when all of it \
is dead. Elsewhere it knows the process group only, and a guard that is killed is noticed by pg-leader alone.

Nobody waits for a reader of standard error: where there is none, pg-leader and its guard say what they say in \
vain, and go on. /proc has to be that of this pid namespace, as it is in containers; where it is not, nothing is \
run (125).

Not covered: pg-leader and its guard both killed or stopped in the same moment (what the command has started \
then lives on until its container or its systemd unit ends it); programs that pg-leader may not signal, such \
as those of another user; work that the command hands to another daemon (docker run, systemd-run, ssh, at); \
processes in uninterruptible sleep, which outlive SIGKILL. Where the guard is \
killed or stopped, orphans that pg-leader has adopted from others meanwhile (as the first process of a \
container, or below a shell) cannot be told from the command's, and die with them. Under systemd use \
KillMode=mixed.

Exit status:

  that of the command, or 128+N where signal N ended it, when --on-exit says so
  0    after SIGTERM
  129  after SIGHUP
  130  after SIGINT
  2    the command line or a setting is wrong
  125  pg-leader itself failed before there was a command
  126  the command cannot be executed
  127  the command is not found

Example, after pg-leader install, once a database:

  pg-leader run --election billing --address 10.0.0.5:8080 --on-exit restart -- ./worker";

/// Run a command only while this process leads.
///
/// Takes part in an election, and runs COMMAND whenever this process leads. Any number of machines may run
/// the same line: COMMAND runs on one of them at a time. Nobody else leads before COMMAND and everything that
/// it has started is dead.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Arguments {
    /// The election to take part in. It comes into being with its first candidate.
    #[arg(long, value_name = "NAME")]
    election: String,

    /// Where the others reach this process while it leads. Any text of up to 1,000 characters: they are told it as it is.
    #[arg(long, value_name = "ADDR")]
    address: String,

    /// How long a leader may act on its last answered heartbeat: from 100ms to 1h. The shorter, the sooner
    /// the next one leads after a failure, and the less a slow network or machine is forgiven.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    lease: humantime::Duration,

    /// How long the command may take to end by itself after SIGTERM, while the leadership is not lost.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: humantime::Duration,

    /// How often a follower that is not next in line tries, beside what it hears; and how long it holds off after its
    /// command has failed.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    retry_interval: humantime::Duration,

    /// When to lead after a leader that vanished.
    #[arg(long, value_name = "WHEN", default_value = "autopsy")]
    takeover: Takeover,

    /// Who comes first when a term ends: the live candidate with the highest priority. A leader that works
    /// stays, whoever joins.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    priority: i32,

    /// What to do when the command has ended by itself.
    #[arg(long, value_name = "WHAT", default_value = "leave")]
    on_exit: OnExit,

    /// Install the schema pgleader at the start, where it is missing or old and the role may. Better run
    /// pg-leader install once: whatever restarts this command would install into an empty server, too, should
    /// the name lead to one then, and terms would begin again at 1.
    #[arg(long)]
    install: bool,

    /// The name of the session in pg_stat_activity, before the address.
    #[arg(long, value_name = "NAME", default_value = "pg-leader run")]
    application_name: String,

    #[command(flatten)]
    ready: ready::Arguments,

    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Why the work of a term has failed.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("the command ended with status {0}")]
    Status(u8),
    #[error("this process hung, and its guard ended the command")]
    Hung,
    #[error("{0}")]
    Guard(#[from] std::io::Error),
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        self.lead(connection)
            .await
            .map_err(|failure| failure.with_code(OURSELVES))
    }

    async fn lead(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let mut signals = Signals::listen()
            .map_err(|error| Failure::system("cannot listen for signals", &error))?;
        let config = connection
            .config("run")?
            .install(self.install)
            .lease(self.lease.into())
            .retry_interval(self.retry_interval.into())
            .grace(self.grace.into())
            .takeover(self.takeover.into())
            .application_name(self.application_name);
        let (leave, mut leaving) = watch::channel(None);
        // Not `Overrun::Abort`: the guard ends the command in time on its own clock, and this process comes back
        // as a candidate when it wakes.
        let task = Arc::new(Task {
            command: self.command,
            lease: self.lease.into(),
            grace: self.grace.into(),
            readiness: self.ready.readiness()?,
            children: look_after()
                .map_err(|error| Failure::system("cannot look after processes", &error))?,
            on_exit: self.on_exit,
            leave,
        });
        let elector = tokio::select! {
            elector = Elector::connect(config) => elector?,
            signal = signals.next() => return Ok(signal.exit_code()),
        };
        let hurry = CancellationToken::new();
        let work = {
            let hurry = hurry.clone();
            move |term: Term| {
                let (task, hurry) = (Arc::clone(&task), hurry.clone());
                async move {
                    if task.is_done() {
                        // This candidate is about to leave, and was quicker to lead again.
                        return Ok(());
                    }
                    let ended = work::run(&term, &task, &hurry).await?;
                    outcome(ended, term.is_ending() || hurry.is_cancelled())
                }
            }
        };
        let campaign = Campaign::new(self.election, self.address)
            .priority(self.priority)
            .graceful(true);
        let candidacy = elector.campaign(campaign, work)?;
        let mut told = tokio::select! {
            biased;
            signal = signals.next() => Some(signal),
            () = left(&mut leaving, &candidacy) => None,
        };
        let mut shutdown = pin!(elector.shutdown());
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                signal = signals.next() => match told {
                    Some(_) => hurry.cancel(),
                    // Sent to the command too, which was quicker.
                    None => told = Some(signal),
                },
            }
        }
        let status = *leaving.borrow();
        Ok(match told {
            Some(signal) => signal.exit_code(),
            None => ExitCode::from(status.unwrap_or(OURSELVES)),
        })
    }
}

/// What a term comes to. `asked`: its work was to end.
fn outcome(ended: Ended, asked: bool) -> Result<(), WorkError> {
    match ended {
        Ended {
            by_itself: false, ..
        } if asked => Ok(()),
        Ended {
            by_itself: false, ..
        } => Err(WorkError::Hung),
        Ended { status: 0, .. } => Ok(()),
        Ended { status, .. } => Err(WorkError::Status(status)),
    }
}

/// Returns once a command's exit says to leave. Where it has failed its term is known to have failed by then: to leave
/// sooner would be to resign, as after a success, whose candidate would soon lead again.
async fn left(leaving: &mut watch::Receiver<Option<u8>>, candidacy: &Candidacy) {
    // The sender lives as long as the candidacy.
    let status = leaving.wait_for(Option::is_some).await;
    if status.is_ok_and(|status| *status == Some(0)) {
        return;
    }
    let mut changes = candidacy.changes();
    while let Some(standing) = changes.next().await {
        // What is told may be older than the term.
        if standing.process == ProcessState::Following
            && candidacy.state() == ProcessState::Following
        {
            break;
        }
    }
}

/// Whoever started this process may have blocked SIGCHLD: then strangers that have ended are looked for.
const REAP_AGAIN: Duration = Duration::from_secs(1);

/// What is started from now on can be found, and what has ended does not stay a zombie.
fn look_after() -> std::io::Result<Arc<Children>> {
    processes::are_seen()?;
    processes::adopt_orphans()?;
    let children = Arc::new(Children::default());
    let mut ended = signal(SignalKind::child())?;
    let reaped = Arc::clone(&children);
    tokio::spawn(async move {
        loop {
            reaped.reap();
            let _ = tokio::time::timeout(REAP_AGAIN, ended.recv()).await;
        }
    });
    Ok(children)
}
