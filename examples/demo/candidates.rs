//! The three processes, as the demo that started them sees them.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::record::{Record, Span};
use crate::{Error, clock};

/// So long may a candidate take to resign when the demo ends; then it is killed.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Runs,
    Stopped,
    Dead,
}

struct Candidate {
    address: String,
    child: Child,
    /// Closing it tells the candidate to end.
    stdin: Option<ChildStdin>,
    log: File,
    record: Record,
    condition: Condition,
}

/// Ends them all when dropped: in order where they run, by force where they are stopped.
pub(crate) struct Candidates {
    url: String,
    election: String,
    all: Vec<Candidate>,
    /// Of processes that have been replaced.
    past: Vec<Record>,
}

impl Candidates {
    /// None yet.
    pub(crate) fn new(url: &str, election: &str) -> Candidates {
        Candidates {
            url: url.to_owned(),
            election: election.to_owned(),
            all: vec![],
            past: vec![],
        }
    }

    pub(crate) fn start(&mut self, address: &str) -> Result<(), Error> {
        let candidate = self.spawn(address)?;
        self.all.push(candidate);
        Ok(())
    }

    /// Another process at the address of one that was killed.
    pub(crate) fn replace(&mut self, address: &str) -> Result<(), Error> {
        let new = self.spawn(address)?;
        let old = std::mem::replace(self.find(address)?, new);
        self.past.push(old.record);
        Ok(())
    }

    fn spawn(&self, address: &str) -> Result<Candidate, Error> {
        // Files without a name: nothing is left of them, however the demo ends.
        let (record, log) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut child = Command::new(std::env::current_exe()?)
            // Not in the arguments, where every user of the machine could read its password.
            .env("DATABASE_URL", &self.url)
            .args(["candidate", &self.election, address])
            .stdin(Stdio::piped())
            .stdout(record.try_clone()?)
            .stderr(log.try_clone()?)
            // Ctrl-C reaches the demo alone, which then ends the candidates.
            .process_group(0)
            .spawn()?;
        Ok(Candidate {
            address: address.to_owned(),
            stdin: child.stdin.take(),
            child,
            log,
            record: Record::new(record),
            condition: Condition::Runs,
        })
    }

    /// `kill -9`. Returns once the process is gone.
    pub(crate) fn kill(&mut self, address: &str) -> Result<u32, Error> {
        let candidate = self.find(address)?;
        candidate.child.kill()?;
        candidate.child.wait()?;
        candidate.condition = Condition::Dead;
        Ok(candidate.child.id())
    }

    /// SIGSTOP. Returns once the process has stopped.
    pub(crate) async fn stop(&mut self, address: &str) -> Result<u32, Error> {
        let candidate = self.find(address)?;
        let pid = Pid::from_child(&candidate.child);
        kill_process(pid, Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(pid), stopped)?.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        candidate.record.stopped(clock::now());
        candidate.condition = Condition::Stopped;
        Ok(candidate.child.id())
    }

    /// SIGCONT.
    pub(crate) fn go_on(&mut self, address: &str) -> Result<(), Error> {
        let candidate = self.find(address)?;
        kill_process(Pid::from_child(&candidate.child), Signal::CONT)?;
        candidate.condition = Condition::Runs;
        Ok(())
    }

    /// An error when one has ended that nobody has killed.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        for candidate in &mut self.all {
            if candidate.condition != Condition::Dead
                && let Some(status) = candidate.child.try_wait()?
            {
                candidate.condition = Condition::Dead;
                return Err(format!(
                    "{} ended by itself ({status}): {}",
                    candidate.address,
                    text(&candidate.log).trim_end()
                )
                .into());
            }
        }
        Ok(())
    }

    /// The last warning of each, on a line of its own.
    pub(crate) fn warnings(&self) -> String {
        let mut warnings = String::new();
        for candidate in &self.all {
            if let Some(last) = text(&candidate.log).lines().last() {
                warnings.push_str(&format!("\n{}: {last}", candidate.address));
            }
        }
        warnings
    }

    /// What all of them have done so far, the dead ones too.
    pub(crate) fn spans(&mut self) -> Result<Vec<Span>, Error> {
        let mut spans = vec![];
        let records = self.all.iter_mut().map(|candidate| &mut candidate.record);
        for record in records.chain(&mut self.past) {
            record.update()?;
            spans.extend(record.spans());
        }
        Ok(spans)
    }

    /// Forget what they have done.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        for candidate in &mut self.all {
            candidate.record.clear()?;
        }
        Ok(())
    }

    /// Address, process and condition of each.
    pub(crate) fn rows(&self) -> Vec<(String, u32, Condition)> {
        let row = |candidate: &Candidate| {
            let address = candidate.address.clone();
            (address, candidate.child.id(), candidate.condition)
        };
        self.all.iter().map(row).collect()
    }

    fn find(&mut self, address: &str) -> Result<&mut Candidate, Error> {
        let mut all = self.all.iter_mut();
        all.find(|candidate| candidate.address == address)
            .ok_or_else(|| format!("the leader {address} is none of the demo's candidates").into())
    }
}

/// All that was written to a file; its offset is the writer's.
fn text(file: &File) -> String {
    struct FromStart<'a>(&'a File, u64);
    impl Read for FromStart<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.read_at(bytes, self.1)?;
            self.1 += length as u64;
            Ok(length)
        }
    }
    let mut text = vec![];
    let _ = FromStart(file, 0).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

impl Drop for Candidates {
    fn drop(&mut self) {
        for candidate in &mut self.all {
            candidate.stdin = None;
            if candidate.condition == Condition::Stopped {
                let _ = candidate.child.kill();
            }
        }
        let deadline = Instant::now() + GRACE;
        for candidate in &mut self.all {
            while matches!(candidate.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = candidate.child.kill();
            let _ = candidate.child.wait();
        }
    }
}
