//! The candidates' processes, as chaos sees them.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::ELECTIONS;
use super::debugger::{self, Held};
use super::faults::Faults;
use super::stage::Stage;
use super::stderr::Stderr;
use crate::Result;
use crate::judge::history::Work;

/// How many take part.
pub(super) const PLACES: usize = 7;

/// How a process reaches the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Direct,
    /// Through the proxy with this number.
    Proxied(usize),
    Socket,
    /// By a Unix socket on which a proxy listens.
    Relayed,
}

impl Path {
    /// The end of such a session is believed.
    pub(super) fn is_direct(self) -> bool {
        matches!(self, Path::Direct | Path::Socket)
    }
}

const PATHS: [Path; PLACES] = [
    Path::Direct,
    Path::Direct,
    Path::Proxied(0),
    Path::Proxied(1),
    Path::Proxied(2),
    Path::Socket,
    Path::Relayed,
];

/// What the work of a place is like, one process after the other. What takes its time is more often where a session that
/// ends is believed: there nobody waits for it.
const DIRECT_WORKS: [Work; 6] = [
    Work::Listens,
    Work::Plain,
    Work::Spawns,
    Work::Plain,
    Work::Blocks,
    Work::Plain,
];
const WORKS: [Work; 8] = [
    Work::Plain,
    Work::Listens,
    Work::Plain,
    Work::Blocks,
    Work::Plain,
    Work::Spins,
    Work::Plain,
    Work::Spawns,
];

/// How many proxies that needs.
pub(super) const PROXIES: usize = 3;

/// Where one process after the other takes part. Each has a name of its own: place and number.
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) path: Path,
    started: u32,
    pub(super) process: Option<Process>,
    /// Its network is cut, slow or away.
    pub(super) hindered: bool,
    /// Its work goes on for a while when it hears of its end.
    pub(super) takes_its_time: bool,
}

pub(super) struct Process {
    child: Child,
    orders: ChildStdin,
    pub(super) stderr: Stderr,
    pub(super) name: String,
    pub(super) stopped: bool,
    /// Its driver, while that is stopped.
    held: Option<Held>,
    /// The fault that it shuts down for, and until when it must have done so.
    pub(super) ending: Option<(u64, Instant)>,
}

pub(super) struct Crew {
    pub(super) places: Vec<Place>,
    stage: Arc<Stage>,
    faults: Faults,
    directory: PathBuf,
    pub(super) lease: u64,
    retry_interval: u64,
    busy: Vec<Child>,
}

impl Crew {
    pub(super) fn start(
        stage: Arc<Stage>,
        faults: Faults,
        directory: PathBuf,
        lease: u64,
        retry_interval: u64,
    ) -> Result<Crew> {
        let places = PATHS.into_iter().enumerate().map(|(number, path)| Place {
            number,
            path,
            started: 0,
            process: None,
            hindered: false,
            takes_its_time: false,
        });
        let mut crew = Crew {
            places: places.collect(),
            stage,
            faults,
            directory,
            lease,
            retry_interval,
            busy: vec![],
        };
        for place in 0..PLACES {
            crew.join(place)?;
        }
        Ok(crew)
    }

    /// A new process at an empty place.
    pub(super) fn join(&mut self, place: usize) -> Result<()> {
        let place = &mut self.places[place];
        place.started += 1;
        let name = format!("{}-{}", place.number + 1, place.started);
        let conninfo = match place.path {
            Path::Direct => self.stage.url(),
            Path::Proxied(proxy) => self.stage.proxies[proxy].superuser_url(),
            Path::Socket => self.stage.socket_conninfo(),
            Path::Relayed => self.stage.relay().conninfo(),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("candidate")
            .args(["--name", &name, "--conninfo", &conninfo])
            .args(["--lease", &self.lease.to_string()])
            .args(["--retry-interval", &self.retry_interval.to_string()])
            .arg("--log")
            .arg(self.directory.join(format!("{name}.jsonl")));
        for election in ELECTIONS {
            command.args(["--election", election]);
        }
        // Another one each time, and plain half of the time.
        let works = match place.path.is_direct() {
            true => &DIRECT_WORKS[..],
            false => &WORKS[..],
        };
        let work = works[(place.number * 2 + place.started as usize - 1) % works.len()];
        place.takes_its_time = matches!(work, Work::Listens | Work::Spawns);
        command.args(["--work", work.name()]);
        let (stderr, of_process) =
            Stderr::to(File::create(self.directory.join(format!("{name}.stderr")))?)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(of_process)
            // Ctrl-C reaches chaos alone, which then ends the others.
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        place.process = Some(Process {
            child,
            orders,
            stderr,
            name,
            stopped: false,
            held: None,
            ending: None,
        });
        Ok(())
    }

    /// `kill -9`. Returns once the process is gone.
    pub(super) fn kill(&mut self, place: usize) -> Result<()> {
        if let Some(mut process) = self.places[place].process.take() {
            process.let_go();
            process.child.kill()?;
            let status = process.child.wait()?;
            self.faults.gone(&process.name, &status.to_string());
        }
        Ok(())
    }

    /// SIGSTOP. Returns once the process has stopped: its name.
    pub(super) fn stop(&mut self, place: usize) -> Result<String> {
        if let Some(process) = &mut self.places[place].process {
            let pid = Pid::from_child(&process.child);
            kill_process(pid, Signal::STOP)?;
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
            while waitid(WaitId::Pid(pid), stopped)?.is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            process.stopped = true;
            return Ok(process.name.clone());
        }
        Ok(String::new())
    }

    /// SIGCONT, if it is still that process.
    pub(super) fn go_on(&mut self, place: usize, name: &str) -> Result<()> {
        let process = self.places[place].process.as_mut();
        if let Some(process) = process.filter(|process| process.name == name) {
            kill_process(Pid::from_child(&process.child), Signal::CONT)?;
            process.stopped = false;
        }
        Ok(())
    }

    /// Stop its driver, and nothing else of it.
    pub(super) fn hold_driver(
        &mut self,
        place: usize,
        random: &mut fastrand::Rng,
    ) -> Result<String> {
        let process = self.places[place].process.as_mut().ok_or("nobody")?;
        process.held = Some(debugger::hold_driver(process.child.id(), random)?);
        Ok(process.name.clone())
    }

    /// The driver goes on, if it is still that process.
    pub(super) fn release_driver(&mut self, place: usize, name: &str) {
        let process = self.places[place].process.as_mut();
        if let Some(process) = process.filter(|process| process.name == name) {
            process.let_go();
        }
    }

    /// How much has been said of panics by whoever is there.
    pub(super) fn panics(&self, place: usize) -> u64 {
        let process = self.places[place].process.as_ref();
        let said = process.map(|process| self.directory.join(format!("{}.panics", process.name)));
        let said = said.and_then(|said| std::fs::metadata(said).ok());
        said.map_or(0, |said| said.len())
    }

    pub(super) fn order(&mut self, place: usize, order: &str) -> Result<()> {
        if let Some(process) = &mut self.places[place].process {
            // It may have ended by itself: whoever waits for it says so.
            let _ = writeln!(process.orders, "{order}");
        }
        Ok(())
    }

    /// Tell it to end in order, for the fault `id`.
    pub(super) fn shut_down(&mut self, place: usize, id: u64, patience: Duration) -> Result<()> {
        self.order(place, "shutdown")?;
        if let Some(process) = &mut self.places[place].process {
            process.ending = Some((id, Instant::now() + patience));
        }
        Ok(())
    }

    /// Keep all processors busy.
    pub(super) fn busy(&mut self, lasts: Duration) -> Result<()> {
        let child = Command::new(std::env::current_exe()?)
            .args(["busy", &lasts.as_millis().to_string()])
            .process_group(0)
            .spawn()?;
        self.busy.push(child);
        Ok(())
    }

    /// The places that have become empty since, with what they were ending for.
    pub(super) fn reap(&mut self) -> Result<Vec<(usize, Option<u64>)>> {
        self.busy
            .retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        let mut empty = vec![];
        for place in &mut self.places {
            let Some(process) = &mut place.process else {
                continue;
            };
            let overdue = process
                .ending
                .is_some_and(|(_, until)| Instant::now() > until);
            if overdue {
                process.let_go();
                process.child.kill()?;
                process.child.wait()?;
            }
            if let Some(status) = process.child.try_wait()? {
                let how = if overdue {
                    "killed: it did not end".to_owned()
                } else {
                    status.to_string()
                };
                self.faults.gone(&process.name, &how);
                empty.push((place.number, process.ending.map(|(id, _)| id)));
                place.process = None;
            }
        }
        Ok(empty)
    }

    /// Where the process with this name is.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| {
            place
                .process
                .as_ref()
                .is_some_and(|process| process.name == name)
        })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.places
            .iter()
            .filter_map(|place| Some(place.process.as_ref()?.name.as_str()))
            .collect()
    }
}

impl Place {
    /// Its process runs, is not stopped and has not been told to end.
    pub(super) fn is_free(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            !process.stopped && process.held.is_none() && process.ending.is_none()
        })
    }
}

impl Process {
    fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            held.let_go();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let processes = self
            .places
            .iter_mut()
            .filter_map(|place| place.process.as_mut());
        let children = processes.map(|process| {
            process.let_go();
            &mut process.child
        });
        for child in children.chain(&mut self.busy) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
