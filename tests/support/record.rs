//! What work writes down, and who judges it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// How long a step of work takes.
const STEP: Duration = Duration::from_micros(500);

/// A step of work: it began and it ended, on the machine's clock that all processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub address: String,
    pub term: u64,
    pub began: u64,
    pub ended: u64,
    /// When its process was stopped in the middle of it, as SIGSTOP does. What is left of it is done on waking,
    /// in whoever's term: no library can prevent that (invariant 1 leaves it to the fence).
    pub stopped: Option<u64>,
}

impl Step {
    fn begun(address: &str, term: u64, began: u64) -> Step {
        Step {
            address: address.to_owned(),
            term,
            began,
            ended: began,
            stopped: None,
        }
    }

    /// The end of what can be promised of it.
    fn promised(&self) -> u64 {
        self.stopped.unwrap_or(self.ended)
    }
}

/// Steps in memory, and in a file where there is one, to which several processes append.
#[derive(Debug)]
pub struct Record {
    steps: Mutex<Vec<Step>>,
    file: Option<File>,
}

/// Nanoseconds on the library's clock, which all processes of a machine share.
pub fn now() -> u64 {
    pg_leader::clock::now().as_nanos()
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

    /// One step of work, half a millisecond long.
    pub fn step(&self, address: &str, term: u64) {
        self.step_by(|| std::thread::sleep(STEP), address, term);
    }

    /// The same by a thread that does not sleep.
    pub fn spin(&self, address: &str, term: u64) {
        let until = now() + u64::try_from(STEP.as_nanos()).expect("it is short");
        let spin = || {
            while now() < until {
                std::hint::spin_loop();
            }
        };
        self.step_by(spin, address, term);
    }

    /// In a file its beginning is written first: a process that is killed in the middle leaves a step without
    /// an end.
    fn step_by(&self, work: impl FnOnce(), address: &str, term: u64) {
        let began = now();
        self.line("began", address, term, began);
        work();
        let ended = now();
        self.line("ended", address, term, ended);
        let mut step = Step::begun(address, term, began);
        step.ended = ended;
        self.steps.lock().expect("no step panics").push(step);
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

    /// Whether something was done in that term.
    pub fn has(&self, term: u64) -> bool {
        let steps = self.steps.lock().expect("no step panics");
        steps.iter().rev().any(|step| step.term == term)
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

/// The process of a candidate that writes to this file stands still: no thread of it runs.
pub fn stopped(path: &Path, address: &str) {
    let record = Record::append_to(path).expect("the record can be opened");
    record.line("stopped", address, 0, now());
}

/// The steps in a file. A step without an end ended no later than it began, as far as anybody can prove.
pub fn read(path: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut steps: Vec<Step> = vec![];
    // Of each address and term, those that have not ended. Of several at once none is told from another.
    let mut open: HashMap<(&str, u64), VecDeque<usize>> = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, address, term, time] = words[..] else {
            continue;
        };
        let (Ok(term), Ok(time)) = (term.parse(), time.parse()) else {
            continue;
        };
        match what {
            "began" => {
                open.entry((address, term))
                    .or_default()
                    .push_back(steps.len());
                steps.push(Step::begun(address, term, time));
            }
            "ended" => {
                let first = open.get_mut(&(address, term)).and_then(VecDeque::pop_front);
                steps[first.expect("it has begun")].ended = time;
            }
            _ => {
                let of_it = open.iter().filter(|((of, _), _)| *of == address);
                for &step in of_it.flat_map(|(_, open)| open) {
                    steps[step].stopped.get_or_insert(time);
                }
            }
        }
    }
    steps
}

/// From the beginning of its first step to the end of its last one, of each term.
fn spans(steps: &[Step]) -> BTreeMap<u64, (u64, u64)> {
    let mut spans: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for step in steps {
        let end = step.promised();
        let span = spans.entry(step.term).or_insert((step.began, end));
        span.0 = span.0.min(step.began);
        span.1 = span.1.max(end);
    }
    spans
}

/// Steps in whose middle a process was stopped, and that it ended when another's term had begun: how many, and
/// how far into that term the last one went.
pub fn ended_on_waking(steps: &[Step]) -> (usize, Duration) {
    let spans = spans(steps);
    let late = steps.iter().filter_map(|step| {
        step.stopped?;
        let (_, (began, _)) = spans.range(step.term + 1..).next()?;
        Some(step.ended.saturating_sub(*began)).filter(|late| *late > 0)
    });
    let late: Vec<u64> = late.collect();
    let most = late.iter().max().copied().unwrap_or_default();
    (late.len(), Duration::from_nanos(most))
}

/// So many steps began when a later term was at work.
pub fn begun_in_another_term(steps: &[Step]) -> usize {
    let spans = spans(steps);
    let late = steps.iter().filter(|step| {
        let next = spans.range(step.term + 1..).next();
        next.is_some_and(|(_, (began, _))| step.began > *began)
    });
    late.count()
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
        .map(Step::promised)
        .max()?;
    let began = steps
        .iter()
        .filter(|step| step.term > term)
        .map(|step| step.began)
        .min()?;
    Some(Duration::from_nanos(began.saturating_sub(ended)))
}

/// From `moment` to the first step of a term.
pub fn time_to_term(steps: &[Step], moment: u64, term: u64) -> Duration {
    let began = steps.iter().filter(|step| step.term == term);
    let began = began.map(|step| step.began).min().expect("it has begun");
    Duration::from_nanos(began.saturating_sub(moment))
}

/// No two terms were ever at work at once, and each term worked in one process only (invariant 1). Steps that a
/// stop has cut in two are told of, and no others are forgiven.
pub fn assert_no_overlap(steps: &[Step]) {
    let (late, most) = ended_on_waking(steps);
    if late > 0 {
        super::say(&format!(
            "{late} steps that a stop had cut in two were ended on waking, {most:?} into another's term"
        ));
    }
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
