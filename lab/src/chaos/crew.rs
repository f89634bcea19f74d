//! The candidates' processes, as chaos sees them.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::debugger::{self, Held};
use super::faults::Faults;
use super::judge::history::{RECORD, Run, Work};
use super::stage::Stage;
use super::stderr::Stderr;
use crate::candidate::Task;
use crate::{Result, process};

/// How long a step of work takes.
const STEP: Duration = Duration::from_micros(500);

/// Between two steps.
pub(super) const PACE: Duration = Duration::from_millis(3);

/// How long an orderly end waits for the work.
const GRACE: Duration = Duration::from_secs(2);

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
    process: process::Process,
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
    /// Everybody takes part in each.
    pub(super) elections: Vec<String>,
    busy: Vec<Child>,
}

impl Crew {
    pub(super) fn start(
        stage: Arc<Stage>,
        faults: Faults,
        directory: PathBuf,
        run: &Run,
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
            lease: run.lease_ms,
            retry_interval: run.retry_interval_ms,
            elections: run.elections.clone(),
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
        // Another one each time, and plain half of the time.
        let works = match place.path.is_direct() {
            true => &DIRECT_WORKS[..],
            false => &WORKS[..],
        };
        let work = works[(place.number * 2 + place.started as usize - 1) % works.len()];
        place.takes_its_time = matches!(work, Work::Listens | Work::Spawns);
        let task = Task {
            address: name.clone(),
            elections: self.elections.clone(),
            retry_interval: Some(Duration::from_millis(self.retry_interval)),
            grace: Some(GRACE),
            application_name: Some("chaos".to_owned()),
            work,
            step: STEP,
            pace: PACE,
            record: Some(self.directory.join(format!("{name}.{RECORD}"))),
            patient: true,
            looks: true,
            writes: true,
            log: "info".to_owned(),
            ..Task::new(&conninfo, "", Duration::from_millis(self.lease))
        };
        let mut command = process::Process::this_binary()?;
        task.give_to(&mut command);
        let (stderr, of_process) =
            Stderr::to(File::create(self.directory.join(format!("{name}.stderr")))?)?;
        command
            .stdout(Stdio::null())
            .stderr(of_process)
            // Ctrl-C reaches chaos alone, which then ends the others.
            .process_group(0);
        place.process = Some(Process {
            process: process::Process::start(command)?,
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
            let status = process.process.kill()?;
            self.faults.gone(&process.name, &status.to_string());
        }
        Ok(())
    }

    /// SIGSTOP. Returns once the process has stopped: its name.
    pub(super) fn stop(&mut self, place: usize) -> Result<String> {
        if let Some(process) = &mut self.places[place].process {
            process.process.stop()?;
            process.stopped = true;
            return Ok(process.name.clone());
        }
        Ok(String::new())
    }

    /// SIGCONT, if it is still that process.
    pub(super) fn go_on(&mut self, place: usize, name: &str) -> Result<()> {
        let process = self.places[place].process.as_mut();
        if let Some(process) = process.filter(|process| process.name == name) {
            process.process.go_on()?;
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
        process.held = Some(debugger::hold_driver(process.process.id(), random)?);
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
            process.process.order(order);
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
        let child = process::Process::this_binary()?
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
                process.process.kill()?;
            }
            if let Some(status) = process.process.ended()? {
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
        for process in processes {
            // A thread that is traced dies with its process only once it is let go of.
            process.let_go();
            let _ = process.process.kill();
        }
        for child in &mut self.busy {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Keep all processors busy, as a process of its own does.
pub(super) fn busy(milliseconds: u64) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    let threads = std::thread::available_parallelism()?.get() * 2;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while Instant::now() < until {});
        }
    });
    Ok(())
}
