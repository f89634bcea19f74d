//! What processes write down while they work. Everybody writes the same lines: the tests, the demo, the benchmarks, chaos.

mod entry;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use entry::{Entry, Work};

/// How long a step of work takes.
pub const STEP: Duration = Duration::from_micros(500);

/// Nanoseconds on the library's clock, which all processes of a machine share.
pub fn now() -> u64 {
    pg_leader::clock::now().as_nanos()
}

/// A step of work: it began and it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of the process.
    pub address: String,
    /// The term's number.
    pub term: i64,
    /// When it began.
    pub began: u64,
    /// When it ended. Of a step without an end: when it began, as far as anybody can prove.
    pub ended: u64,
    /// When its process stood still in the middle of it, as after SIGSTOP. What is left of it is done on waking, in whoever's
    /// term: no library can prevent that (invariant 1 leaves it to the fence).
    pub halt: Option<Halt>,
}

/// A time in which no thread of a process ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Since when it stood still.
    pub from: u64,
    /// Just before it was woken: from here on it works again.
    pub to: u64,
}

/// Where lines go to.
#[derive(Debug)]
enum Sink {
    Nowhere,
    File(File),
    Stdout,
}

/// Lines in a file or on standard output, and steps in memory.
#[derive(Debug)]
pub struct Record {
    sink: Sink,
    /// None: nobody will ask, and there may be too many.
    steps: Option<Mutex<Vec<Step>>>,
}

impl Record {
    /// Steps in memory alone.
    pub fn in_memory() -> Arc<Record> {
        Record::to(Sink::Nowhere, true)
    }

    /// Also in a file, to which several processes may append.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn append_to(path: &Path) -> io::Result<Arc<Record>> {
        Ok(Record::to(Sink::File(open(path)?), true))
    }

    /// In a file alone.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn in_file(path: &Path) -> io::Result<Arc<Record>> {
        Ok(Record::to(Sink::File(open(path)?), false))
    }

    /// On standard output alone, for as long as somebody reads it.
    pub fn on_stdout() -> Arc<Record> {
        Record::to(Sink::Stdout, false)
    }

    fn to(sink: Sink, remembers: bool) -> Arc<Record> {
        Arc::new(Record {
            sink,
            steps: remembers.then(Mutex::default),
        })
    }

    /// In one write: several processes may append. Whoever is killed in the middle of a write leaves a part of a line: in a
    /// file each begins on a new one, so that it spoils none of others.
    pub fn write(&self, address: &str, entry: &Entry) {
        let line = || format!("{}\n", entry.line(address));
        match &self.sink {
            Sink::Nowhere => {}
            Sink::File(file) => {
                let mut file = file;
                file.write_all(format!("\n{}", line()).as_bytes())
                    .expect("the record can be written");
            }
            Sink::Stdout => {
                // Where nobody listens there is nothing to report.
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(line().as_bytes());
            }
        }
    }

    /// One step of work in the only election that there is, half a millisecond long.
    pub fn step(&self, address: &str, term: i64) {
        self.step_by(address, "", term, || std::thread::sleep(STEP));
    }

    /// The same by a thread that does not sleep.
    pub fn spin(&self, address: &str, term: i64) {
        let until = std::time::Instant::now() + STEP;
        self.step_by(address, "", term, || {
            while std::time::Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }

    /// A step of work that does this. Its beginning is written first: a process that is killed in the middle leaves a step
    /// without an end.
    pub fn step_by(&self, address: &str, election: &str, term: i64, work: impl FnOnce()) {
        self.step_from(now(), address, election, term, work);
    }

    /// The same of a step that began before.
    pub fn step_from(
        &self,
        from: u64,
        address: &str,
        election: &str,
        term: i64,
        work: impl FnOnce(),
    ) {
        let began = Entry::Began {
            at: from,
            election: election.to_owned(),
            term,
        };
        self.write(address, &began);
        work();
        let to = now();
        let step = Entry::Step {
            from,
            to,
            election: election.to_owned(),
            term,
        };
        self.write(address, &step);
        if let Some(steps) = &self.steps {
            lock(steps).push(Step {
                address: address.to_owned(),
                term,
                began: from,
                ended: to,
                halt: None,
            });
        }
    }

    /// Those in memory.
    pub fn steps(&self) -> Vec<Step> {
        self.steps
            .as_ref()
            .map_or_else(Vec::new, |steps| lock(steps).clone())
    }

    /// Whether something was done in that term.
    pub fn has(&self, term: i64) -> bool {
        let has = |steps| lock(steps).iter().rev().any(|step| step.term == term);
        self.steps.as_ref().is_some_and(has)
    }

    /// The newest term that has worked; 0 for none.
    pub fn last_term(&self) -> i64 {
        let last = |steps| lock(steps).iter().map(|step| step.term).max();
        self.steps.as_ref().and_then(last).unwrap_or(0)
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn lock(steps: &Mutex<Vec<Step>>) -> MutexGuard<'_, Vec<Step>> {
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The whole lines of a text. A last one without its end was cut off by the death of its process, and says nothing.
pub fn whole_lines(text: &str) -> std::str::Lines<'_> {
    text.rfind('\n').map_or("", |end| &text[..end]).lines()
}

/// The whole lines of a record's file, each of which has an empty one behind it where another follows. What has none was
/// cut off.
fn whole_entries(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.split('\n').peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let is_whole = lines.peek().is_some_and(|next| next.is_empty());
            if is_whole && !line.is_empty() {
                return Some(line);
            }
        }
    })
}

/// What is in the file of a process.
///
/// # Errors
///
/// When there is none, or it has a line that is none.
pub fn entries(path: &Path) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let parse = |(number, line): (usize, &str)| {
        let entry = Entry::parse(line).map(|(_, entry)| entry);
        entry.ok_or_else(|| format!("{}:{}: {line:?}", path.display(), number + 1))
    };
    whole_entries(&text).enumerate().map(parse).collect()
}

/// The steps in a file; none where there is no file yet.
///
/// # Panics
///
/// When it has a line that is none.
pub fn read(path: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut halts = Halts::default();
    let mut steps: Vec<Step> = vec![];
    // Those that have not ended, where they are. Of one process two may begin at the same instant.
    let mut open: BTreeMap<(&str, i64, u64), Vec<usize>> = BTreeMap::new();
    for line in whole_entries(&text) {
        let parsed = Entry::parse(line);
        let (address, entry) = parsed.unwrap_or_else(|| panic!("no line of a record: {line:?}"));
        halts.note(address, &entry);
        match entry {
            Entry::Began { at, term, .. } => {
                open.entry((address, term, at))
                    .or_default()
                    .push(steps.len());
                steps.push(Step {
                    address: address.to_owned(),
                    term,
                    began: at,
                    ended: at,
                    halt: None,
                });
            }
            Entry::Step { from, to, term, .. } => {
                let halt = halts.cuts(address, from, to);
                let began = open.get_mut(&(address, term, from)).and_then(Vec::pop);
                let step = &mut steps[began.expect("it has begun")];
                (step.ended, step.halt) = (to, halt);
            }
            _ => {}
        }
    }
    steps
}

/// When processes stood still.
#[derive(Clone, Debug, Default)]
pub struct Halts(BTreeMap<String, Vec<Halt>>);

impl Halts {
    /// A process stood still from then on, until it is woken.
    pub fn halted(&mut self, address: &str, from: u64) {
        self.stood_still(address, from, u64::MAX);
    }

    /// It is about to be woken.
    pub fn woken(&mut self, address: &str, at: u64) {
        if let Some(halt) = self.0.get_mut(address).and_then(|halts| halts.last_mut()) {
            halt.to = halt.to.min(at);
        }
    }

    /// It stood still in between.
    pub fn stood_still(&mut self, address: &str, from: u64, to: u64) {
        let halts = self.0.entry(address.to_owned()).or_default();
        halts.push(Halt { from, to });
    }

    /// What a line says of it.
    pub fn note(&mut self, address: &str, entry: &Entry) {
        match entry {
            Entry::Halted { at } => self.halted(address, *at),
            Entry::Woken { at } => self.woken(address, *at),
            _ => {}
        }
    }

    /// That which has cut this step in two.
    pub fn cuts(&self, address: &str, from: u64, to: u64) -> Option<Halt> {
        let mut halts = self.of(address).iter();
        halts.find(|halt| from < halt.to && halt.to <= to).copied()
    }

    /// Those of one process, in the order of time.
    pub fn of(&self, address: &str) -> &[Halt] {
        self.0.get(address).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Vec<Step> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        std::fs::write(&path, lines.replace('\n', "\n\n")).unwrap();
        super::read(&path)
    }

    /// It is killed in the middle of a write: the kernel gives up between two pages.
    #[test]
    fn a_part_of_a_line_spoils_no_other() {
        let text = "\nbegan a 10 1 \n\nst\nbegan b 20 2 \n\nstep b 2";
        let whole: Vec<&str> = whole_entries(text).collect();
        assert_eq!(whole, ["began a 10 1 ", "began b 20 2 "]);
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        let record = Record::append_to(&path).unwrap();
        record.step("a", 1);
        record.spin("b", 2);
        assert_eq!(super::read(&path), record.steps());
        assert!(record.has(2) && !record.has(3));
        assert_eq!(record.last_term(), 2);
    }

    #[test]
    fn a_step_without_an_end_ended_when_it_began() {
        let steps = read("began a 10 1 \nstep a 10 12 1 \nbegan a 13 1 \nstep a 13 1");
        let ends: Vec<(u64, u64)> = steps.iter().map(|step| (step.began, step.ended)).collect();
        assert_eq!(ends, [(10, 12), (13, 13)]);
    }

    #[test]
    fn steps_of_two_threads_are_told_apart() {
        let steps = read("began a 10 1 \nbegan a 11 1 \nstep a 11 12 1 \nstep a 10 19 1 \n");
        let ends: Vec<(u64, u64)> = steps.iter().map(|step| (step.began, step.ended)).collect();
        assert_eq!(ends, [(10, 19), (11, 12)]);
    }

    #[test]
    fn a_step_that_a_halt_cuts_in_two_is_told_of() {
        let lines = "began a 10 1 \nhalted a 12\nwoken a 90\nstep a 10 99 1 \nbegan a 100 1 \n";
        let halts: Vec<_> = read(lines).iter().map(|step| step.halt).collect();
        assert_eq!(halts, [Some(Halt { from: 12, to: 90 }), None]);
    }

    #[test]
    fn a_step_that_began_or_ended_in_time_is_not_cut() {
        let lines = "began a 10 1 \nhalted a 12\nwoken a 90\nstep a 10 11 1 \nbegan a 91 1 \nstep a 91 92 1 \n";
        assert!(read(lines).iter().all(|step| step.halt.is_none()));
    }
}
