//! Candidates of one contest, each a process of its own, and what they have done.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Result;
use crate::candidate::Task;
use crate::ledger::Ledger;
use crate::process::Process;
use crate::record::{Entry, now};

/// So long may a candidate take to resign when a contest is over; then it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// What has become of a candidate's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It lives.
    Runs,
    /// It stands still.
    Stopped,
    /// It has ended.
    Dead,
}

struct Candidate {
    address: String,
    process: Process,
    condition: Condition,
    /// What it has said last on standard error.
    said: Arc<Mutex<String>>,
    /// It reads all that the process writes, to the end.
    reader: Option<JoinHandle<()>>,
}

/// Ends them all when dropped: in order where they run, by force where they are stopped.
pub struct Contest {
    task: Task,
    candidates: Vec<Candidate>,
    ledger: Arc<Ledger>,
}

impl Contest {
    /// None yet. Each will have this task, and an address of its own.
    pub fn new(task: Task) -> Contest {
        Contest {
            task,
            candidates: vec![],
            ledger: Arc::default(),
        }
    }

    /// What they have written down.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// A candidate more, or another process at the address of one that is dead.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn join(&mut self, address: &str) -> Result<()> {
        let conninfo = self.task.conninfo.clone();
        self.join_by(address, &conninfo)
    }

    /// The same, by a connection string of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn join_by(&mut self, address: &str, conninfo: &str) -> Result<()> {
        self.join_as(address, conninfo, Process::this_binary()?)
    }

    /// The same, in a network namespace that has a name.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn join_within(&mut self, address: &str, namespace: &str, conninfo: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        command.arg(Process::this_binary()?.get_program());
        self.join_as(address, conninfo, command)
    }

    fn join_as(&mut self, address: &str, conninfo: &str, command: Command) -> Result<()> {
        let candidate = self.start(address, conninfo, command)?;
        self.candidates.retain(|other| other.address != address);
        self.candidates.push(candidate);
        self.candidates
            .sort_by(|one, other| one.address.cmp(&other.address));
        Ok(())
    }

    fn start(&self, address: &str, conninfo: &str, mut command: Command) -> Result<Candidate> {
        let task = Task {
            address: address.to_owned(),
            conninfo: conninfo.to_owned(),
            ..self.task.clone()
        };
        task.give_to(&mut command);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches the contest alone, which then ends its candidates.
            .process_group(0);
        let mut process = Process::start(command)?;
        let (record, says) = process.pipes();
        let said = Arc::new(Mutex::default());
        let reader = record.map(|record| read(record, &self.ledger));
        if let Some(says) = says {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(says, &said));
        }
        Ok(Candidate {
            address: address.to_owned(),
            process,
            condition: Condition::Runs,
            said,
            reader,
        })
    }

    /// `kill -9`. Returns once the process is gone, and all that it has written is known: its number.
    ///
    /// # Errors
    ///
    /// When there is no such candidate.
    pub fn kill(&mut self, address: &str) -> Result<u32> {
        let candidate = self.find(address)?;
        candidate.process.kill()?;
        candidate.condition = Condition::Dead;
        if let Some(reader) = candidate.reader.take() {
            let _ = reader.join();
        }
        Ok(candidate.process.id())
    }

    /// `kill -9`. Returns at once.
    ///
    /// # Errors
    ///
    /// When there is no such candidate, or it does not live.
    pub fn strike(&mut self, address: &str) -> Result<()> {
        let candidate = self.find(address)?;
        candidate.condition = Condition::Dead;
        Ok(candidate.process.strike()?)
    }

    /// It is a candidate of this contest no more: its process is killed, where it is not dead.
    pub fn forget(&mut self, address: &str) {
        self.candidates
            .retain(|candidate| candidate.address != address);
    }

    /// SIGSTOP. Returns once the process has stopped: its number.
    ///
    /// # Errors
    ///
    /// When there is no such candidate, or it does not live.
    pub fn stop(&mut self, address: &str) -> Result<u32> {
        let candidate = self.find(address)?;
        candidate.process.stop()?;
        candidate.condition = Condition::Stopped;
        let number = candidate.process.id();
        self.ledger.note(address, &Entry::Halted { at: now() });
        Ok(number)
    }

    /// SIGCONT.
    ///
    /// # Errors
    ///
    /// When there is no such candidate, or it does not live.
    pub fn go_on(&mut self, address: &str) -> Result<()> {
        // Before it can have done anything.
        self.ledger.note(address, &Entry::Woken { at: now() });
        let candidate = self.find(address)?;
        candidate.process.go_on()?;
        candidate.condition = Condition::Runs;
        Ok(())
    }

    /// An order, as in [`crate::candidate`].
    ///
    /// # Errors
    ///
    /// When there is no such candidate.
    pub fn order(&mut self, address: &str, order: &str) -> Result<()> {
        self.find(address)?.process.order(order);
        Ok(())
    }

    /// An error when one has ended that nobody has killed.
    ///
    /// # Errors
    ///
    /// With what it said last.
    pub fn check(&mut self) -> Result<()> {
        for candidate in &mut self.candidates {
            if candidate.condition != Condition::Dead
                && let Some(status) = candidate.process.ended()?
            {
                candidate.condition = Condition::Dead;
                let (address, said) = (&candidate.address, candidate.said());
                return Err(format!("{address} ended by itself ({status}): {said}").into());
            }
        }
        Ok(())
    }

    /// What each has said last, on a line of its own.
    pub fn warnings(&self) -> String {
        let mut warnings = String::new();
        for candidate in &self.candidates {
            let said = candidate.said();
            if !said.is_empty() {
                warnings.push_str(&format!("\n{}: {said}", candidate.address));
            }
        }
        warnings
    }

    /// Address, process and condition of each.
    pub fn rows(&self) -> Vec<(String, u32, Condition)> {
        let row = |candidate: &Candidate| {
            let address = candidate.address.clone();
            (address, candidate.process.id(), candidate.condition)
        };
        self.candidates.iter().map(row).collect()
    }

    fn find(&mut self, address: &str) -> Result<&mut Candidate> {
        let mut all = self.candidates.iter_mut();
        all.find(|candidate| candidate.address == address)
            .ok_or_else(|| format!("{address} is no candidate of this contest").into())
    }
}

impl Candidate {
    fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A last line without its end was cut off by the death of its process, and says nothing.
fn read(record: impl Read + Send + 'static, ledger: &Arc<Ledger>) -> JoinHandle<()> {
    let ledger = Arc::clone(ledger);
    std::thread::spawn(move || {
        let mut record = BufReader::new(record);
        let mut line = String::new();
        while record.read_line(&mut line).is_ok_and(|length| length > 0) {
            if let Some(line) = line.strip_suffix('\n') {
                ledger.note_line(line);
            }
            line.clear();
        }
    })
}

fn listen(says: impl Read, said: &Mutex<String>) {
    let mut lines = BufReader::new(says).lines();
    while let Some(Ok(line)) = lines.next() {
        *said.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

impl Drop for Contest {
    fn drop(&mut self) {
        for candidate in &mut self.candidates {
            candidate.process.dismiss();
            if candidate.condition == Condition::Stopped {
                let _ = candidate.process.kill();
            }
        }
        let deadline = std::time::Instant::now() + GRACE;
        for candidate in &mut self.candidates {
            let rest = deadline.saturating_duration_since(std::time::Instant::now());
            candidate.process.wait(rest);
        }
    }
}
