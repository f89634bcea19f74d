//! A candidate's process, as its benchmark holds it.

use std::process::Stdio;
use std::rc::Rc;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::Result;
use super::candidate::Task;
use super::journal::Journal;

/// Killed when dropped.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    pub(crate) pid: i32,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn start(task: &Task, journal: &Rc<Journal>) -> Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(task.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        let reports = child.stdout.take().ok_or("no standard output")?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let (journal, address) = (Rc::clone(journal), task.address.clone());
        tokio::task::spawn_local(async move {
            let mut lines = BufReader::new(reports).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                journal.note(&address, &line);
            }
        });
        Ok(Process {
            child,
            orders,
            pid: pid.ok_or("it has ended at once")?,
            address: task.address.clone(),
        })
    }

    pub(crate) async fn resign(&mut self) -> Result<()> {
        Ok(self.orders.write_all(b"resign\n").await?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGSTOP; no thread of it runs when this returns.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let pid = Pid::from_raw(self.pid).ok_or("no process")?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), stopped)?.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Until it is gone.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        self.child.wait().await?;
        Ok(())
    }
}
