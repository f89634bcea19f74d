//! The guard: a process of its own, and the command's parent.
//!
//! `pg-leader run` extends the time for which the command may run, again and again. When it does not (it
//! hangs, or is stopped), when it is gone (killed with -9), or when it says so, the guard ends the command and
//! everything that the command has started. It holds the session's socket until all of that is dead, so that
//! nobody can take the end of `pg-leader run` for the end of its work.
//!
//! It adopts the command's orphans, and finds daemons so. It swallows the signals that people send to end
//! programs: `pg-leader run` is the one to end.

mod watch;

use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, getpid};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::platform::descriptors::{self, aside};
use crate::platform::processes;
use watch::Watch;

/// Keep COMMAND only as long as standard input says.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// As `pg-leader run` was given it.
    #[arg(long)]
    lease: humantime::Duration,

    /// As `pg-leader run` was given it.
    #[arg(long)]
    grace: humantime::Duration,

    /// The number of the descriptor on which the command says that it is ready.
    #[arg(long)]
    ready_fd: Option<RawFd>,

    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Arguments {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        self.guard()
            .map_err(|error| Failure::system("the guard failed", &error))?;
        Ok(ExitCode::SUCCESS)
    }

    fn guard(self) -> io::Result<()> {
        processes::call_this(c"leader-guard")?;
        processes::adopt_orphans()?;
        // Whatever this process opens stays above the numbers that the command may want.
        let control = UnixStream::from(aside(&io::stdin())?);
        let [session, input] = descriptors::receive(&control)?;
        let ready = self.ready_fd.map(Ready::open).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (lease, grace) = (Duration::from(self.lease), Duration::from(self.grace));
            let mut watch = Watch::new(control, lease, grace)?;
            if !watch.may_begin().await? {
                return Ok(());
            }
            // It is open in every process of the command, for as long as one lives.
            let inherited = aside(&session)?;
            descriptors::inherited(&inherited)?;
            let command = self.launch(input)?;
            drop(inherited);
            watch
                .until_all_is_dead(command, ready.map(Ready::written))
                .await?;
            drop(session);
            Ok(())
        })
    }

    /// By way of a process that sets what only it can set, and becomes the command.
    fn launch(&self, input: OwnedFd) -> io::Result<Pid> {
        let child = Command::new(processes::this_program()?)
            .arg0("leader-launch")
            .args(["launch", "--parent"])
            .arg(getpid().to_string())
            .arg("--")
            .args(&self.command)
            .stdin(Stdio::from(input))
            .process_group(0)
            .spawn()?;
        Ok(Pid::from_child(&child))
    }
}

/// A pipe to which the command writes a line once it is ready.
struct Ready {
    reader: OwnedFd,
    /// With the number that the command knows.
    writer: OwnedFd,
}

impl Ready {
    fn open(number: RawFd) -> io::Result<Ready> {
        let (reader, writer) = {
            let (reader, writer) = io::pipe()?;
            (aside(&reader)?, aside(&writer)?)
        };
        Ok(Ready {
            reader,
            writer: descriptors::inherited_as(&writer, number)?,
        })
    }

    /// Returns once a line has been written, or never.
    ///
    /// The command may write on, whenever it likes: it must not fail or wait for having said more.
    fn written(self) -> impl Future<Output = ()> {
        drop(self.writer);
        let (line, written) = oneshot::channel();
        tokio::spawn(read(self.reader, line));
        async {
            if written.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Read to the end; the end of the first line is told to `line`.
async fn read(reader: OwnedFd, line: oneshot::Sender<()>) -> io::Result<()> {
    let mut reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader)?;
    let mut line = Some(line);
    let mut piece = [0; 512];
    loop {
        let read = reader.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        if piece[..read].contains(&b'\n') {
            let _ = line.take().map(|line| line.send(()));
        }
    }
}
