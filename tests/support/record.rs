//! What work writes down, and who judges it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use pg_leader::Term;
use rustix::time::{ClockId, clock_gettime};

/// How long a step of work takes.
const STEP: Duration = Duration::from_micros(500);

/// A step that seems to have lasted longer stood still for the rest, its process stopped or its machine
/// busy. Standing still is no work, and what a process does between waking and looking at its clock is
/// what invariant 1 leaves to the fence.
const LONGEST_STEP: u64 = 50_000_000;

/// A step of work: it began and it ended, on the machine's clock that all processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub address: String,
    pub term: u64,
    pub began: u64,
    pub ended: u64,
}

impl Step {
    fn begun(address: &str, term: u64, began: u64) -> Step {
        Step {
            address: address.to_owned(),
            term,
            began,
            ended: began,
        }
    }

    fn end(&mut self, ended: u64) {
        self.ended = ended.min(self.began + LONGEST_STEP);
    }
}

/// Steps in memory, or in a file that several processes append to.
#[derive(Debug)]
pub struct Record {
    steps: Mutex<Vec<Step>>,
    file: Option<File>,
}

/// Nanoseconds on the clock that all processes of a machine share and that counts suspended time.
pub fn now() -> u64 {
    #[cfg(target_os = "linux")]
    let time = clock_gettime(ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

impl Record {
    pub fn in_memory() -> std::sync::Arc<Record> {
        std::sync::Arc::new(Record {
            steps: Mutex::default(),
            file: None,
        })
    }

    pub fn append_to(path: &Path) -> std::io::Result<std::sync::Arc<Record>> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(std::sync::Arc::new(Record {
            steps: Mutex::default(),
            file: Some(file),
        }))
    }

    /// One step of work in a term that is current; false when it is not any more.
    ///
    /// The clock is read before the term is looked at: a process that is stopped in between and woken
    /// later finds the term over, and one that is stopped after it has its step begun in time.
    pub fn step_while_current(&self, term: &Term) -> bool {
        let began = now();
        let current = term.is_current();
        if current {
            self.step_from(began, term.address(), term.number());
        }
        current
    }

    /// One step of work, whether or not the term is current.
    pub fn step(&self, address: &str, term: u64) {
        self.step_from(now(), address, term);
    }

    /// Half a millisecond long. In a file its beginning is written first: a process that is killed in the
    /// middle leaves a step without an end.
    fn step_from(&self, began: u64, address: &str, term: u64) {
        self.line("began", address, term, began);
        std::thread::sleep(STEP);
        let ended = now();
        self.line("ended", address, term, ended);
        if self.file.is_none() {
            let mut step = Step::begun(address, term, began);
            step.end(ended);
            self.steps.lock().expect("no step panics").push(step);
        }
    }

    /// In one write: several processes may append.
    fn line(&self, what: &str, address: &str, term: u64, time: u64) {
        if let Some(mut file) = self.file.as_ref() {
            let line = format!("{what} {address} {term} {time}\n");
            file.write_all(line.as_bytes())
                .expect("the record can be written");
        }
    }

    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().expect("no step panics").clone()
    }

    /// The newest term that has worked.
    pub fn last_term(&self) -> u64 {
        self.steps
            .lock()
            .expect("no step panics")
            .iter()
            .map(|step| step.term)
            .max()
            .unwrap_or(0)
    }
}

/// The steps in a file. A step without an end ended no later than it began, as far as anybody can prove.
pub fn read(path: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut steps: Vec<Step> = vec![];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, address, term, time] = words[..] else {
            continue;
        };
        let (Ok(term), Ok(time)) = (term.parse(), time.parse()) else {
            continue;
        };
        if what == "began" {
            steps.push(Step::begun(address, term, time));
        } else if let Some(step) = steps
            .iter_mut()
            .rev()
            .find(|step| step.address == address && step.term == term)
        {
            step.end(time);
        }
    }
    steps
}

/// From the beginning of its first step to the end of its last one, of each term.
fn spans(steps: &[Step]) -> BTreeMap<u64, (u64, u64)> {
    let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for step in steps {
        let span = spans.entry(step.term).or_insert((step.began, step.ended));
        span.0 = span.0.min(step.began);
        span.1 = span.1.max(step.ended);
    }
    spans
}

/// How long two terms were at work at the same time, in all.
pub fn overlap(steps: &[Step]) -> Duration {
    let spans: Vec<(u64, u64)> = spans(steps).into_values().collect();
    let mut overlap = 0;
    for (index, earlier) in spans.iter().enumerate() {
        for later in &spans[index + 1..] {
            overlap += earlier
                .1
                .min(later.1)
                .saturating_sub(earlier.0.max(later.0));
        }
    }
    Duration::from_nanos(overlap)
}

/// From the last step of a term to the first of the next that worked; `None` while there is no next.
pub fn gap_after(steps: &[Step], term: u64) -> Option<Duration> {
    let ended = steps
        .iter()
        .filter(|step| step.term == term)
        .map(|step| step.ended)
        .max()?;
    let began = steps
        .iter()
        .filter(|step| step.term > term)
        .map(|step| step.began)
        .min()?;
    Some(Duration::from_nanos(began.saturating_sub(ended)))
}

/// No two terms were ever at work at once, and each term worked in one process only (invariant 1).
pub fn assert_no_overlap(steps: &[Step]) {
    assert_eq!(
        overlap(steps),
        Duration::ZERO,
        "two were at work: {:#?}",
        spans(steps)
    );
    let mut owner = BTreeMap::new();
    for step in steps {
        let address = owner.entry(step.term).or_insert(&step.address);
        assert_eq!(
            *address, &step.address,
            "term {} worked at two places",
            step.term
        );
    }
}
