//! A candidate's process, as whoever started it holds it.

use std::io::{self, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Between two looks at whether it stands still.
const LOOKS: Duration = Duration::from_micros(200);

/// Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Process {
    /// The command that runs this binary again.
    ///
    /// # Errors
    ///
    /// When the system does not say where it is.
    pub fn this_binary() -> io::Result<Command> {
        Ok(Command::new(std::env::current_exe()?))
    }

    /// Its standard input takes orders.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(mut command: Command) -> io::Result<Process> {
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        Ok(Process {
            orders: child.stdin.take(),
            child,
        })
    }

    /// Where its record goes, and what it says of itself, once each, where they are pipes.
    pub fn pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// It may have ended by itself: whoever waits for it says so.
    pub fn order(&mut self, order: &str) {
        if let Some(orders) = &mut self.orders {
            let _ = writeln!(orders, "{order}");
        }
    }

    /// No more orders: it ends in order.
    pub fn dismiss(&mut self) {
        self.orders = None;
    }

    /// SIGSTOP. No thread of it runs when this returns.
    ///
    /// # Errors
    ///
    /// When it does not live.
    pub fn stop(&self) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), stopped)?.is_none() {
            std::thread::sleep(LOOKS);
        }
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// When it does not live.
    pub fn go_on(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// `kill -9`. Returns at once.
    ///
    /// # Errors
    ///
    /// When it does not live.
    pub fn strike(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::KILL)?)
    }

    /// The same. Returns once the process is gone.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Wait for its end, so long at most.
    pub fn wait(&mut self, patience: Duration) {
        let deadline = std::time::Instant::now() + patience;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
