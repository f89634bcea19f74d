//! The last step before the command: what must be set in its own process, without which it may not run.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{self, Failure};

/// Become COMMAND, which is killed when the guard ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The guard.
    #[arg(long)]
    parent: i32,

    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Arguments {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let parent = Pid::from_raw(self.parent).ok_or_else(|| Failure::usage("no such parent"))?;
        let lives = crate::platform::processes::die_with_parent(parent)
            .map_err(|error| Failure::system("cannot set the parent-death signal", &error))?;
        if !lives {
            return Err(Failure::failed("the guard is gone"));
        }
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(Failure::usage("no command"));
        };
        let error = Command::new(program).args(arguments).exec();
        // Trying has set SIGPIPE back to what ends this process, where nobody reads the words.
        let _ = hear_broken_pipes();
        let code = match error.kind() {
            io::ErrorKind::NotFound => exit::NOT_FOUND,
            _ => exit::NOT_EXECUTABLE,
        };
        let doing = format!("cannot run {}", program.display());
        Err(Failure::system(&doing, &error).with_code(code))
    }
}

fn hear_broken_pipes() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    signal(SignalKind::pipe()).map(drop)
}
