//! What the library says: plain data, put into a queue by whoever has something better to do, and said by a
//! thread that has not. A subscriber that blocks or panics stops nothing but the log.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tracing::Level;

use super::hands::quietly;
use crate::engine::Ending;
use crate::shown::shown;

/// So many entries wait to be said, and what one event brought. More are dropped, and counted.
const LIMIT: usize = 8192;

/// So many elections are named where one line is about many.
const NAMES: usize = 5;

/// Something to say.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) level: Level,
    pub(crate) message: Cow<'static, str>,
    pub(crate) election: Option<Arc<str>>,
    pub(crate) address: Option<Arc<str>>,
    pub(crate) term: Option<u64>,
    pub(crate) pid: Option<i32>,
    pub(crate) ending: Option<Ending>,
    pub(crate) at_most: Option<Duration>,
    pub(crate) ended: Option<u32>,
    pub(crate) remaining: Option<u32>,
}

impl Entry {
    pub(crate) fn new(level: Level, message: impl Into<Cow<'static, str>>) -> Entry {
        Entry {
            level,
            message: message.into(),
            election: None,
            address: None,
            term: None,
            pid: None,
            ending: None,
            at_most: None,
            ended: None,
            remaining: None,
        }
    }

    pub(crate) fn of(self, election: &Arc<str>, address: Option<&Arc<str>>) -> Entry {
        Entry {
            election: Some(Arc::clone(election)),
            address: address.cloned(),
            ..self
        }
    }

    pub(crate) fn term(self, term: u64) -> Entry {
        let term = Some(term);
        Entry { term, ..self }
    }

    pub(crate) fn pid(self, pid: i32) -> Entry {
        let pid = Some(pid);
        Entry { pid, ..self }
    }

    /// Whether the same befell two elections: then one line tells of both.
    fn shares_fate(&self, other: &Entry) -> bool {
        let both = self.election.is_some() && other.election.is_some();
        both && self.level == other.level
            && self.message == other.message
            && self.ending == other.ending
    }
}

/// Where entries go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Log(Arc<Queue>);

struct Queue {
    entries: Sender<Vec<Entry>>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Log {
    /// A queue, and the thread that empties it. The thread ends when all is said.
    pub(crate) fn start() -> std::io::Result<Log> {
        Log::start_with(emit)
    }

    /// `emit` takes what one line is about.
    pub(crate) fn start_with(emit: impl Fn(&[Entry]) + Send + 'static) -> std::io::Result<Log> {
        let (entries, receiver) = channel();
        let count = Arc::new(Count::default());
        std::thread::Builder::new()
            .name("pg-leader-log".to_owned())
            .spawn({
                let count = Arc::clone(&count);
                move || empty(&receiver, &count, &emit)
            })?;
        Ok(Log(Arc::new(Queue { entries, count })))
    }

    pub(crate) fn say(&self, entry: Entry) {
        self.say_all(vec![entry]);
    }

    /// Never waits.
    pub(crate) fn say_all(&self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let Queue { entries: to, count } = &*self.0;
        let more = entries.len();
        if count.waiting.load(Ordering::Relaxed) < LIMIT {
            count.waiting.fetch_add(more, Ordering::Relaxed);
            // The thread lives as long as the queue.
            let _ = to.send(entries);
        } else {
            count.dropped.fetch_add(more as u64, Ordering::Relaxed);
        }
    }

    /// Wait until all is said, for no longer than `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        let queue = &self.0;
        let began = Instant::now();
        while queue.count.waiting.load(Ordering::Acquire) > 0 && began.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn empty(receiver: &Receiver<Vec<Entry>>, count: &Count, emit: &impl Fn(&[Entry])) {
    while let Ok(mut entries) = receiver.recv() {
        while entries.len() < LIMIT
            && let Ok(more) = receiver.try_recv()
        {
            entries.extend(more);
        }
        for fate in entries.chunk_by(Entry::shares_fate) {
            if !quietly(|| emit(fate)) {
                count
                    .dropped
                    .fetch_add(fate.len() as u64, Ordering::Relaxed);
            }
        }
        let dropped = count.dropped.swap(0, Ordering::Relaxed);
        let said = dropped == 0 || {
            let message = format!("{dropped} events were dropped: the log did not take them");
            quietly(|| emit(&[Entry::new(Level::WARN, message)]))
        };
        if !said {
            count.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        count.waiting.fetch_sub(entries.len(), Ordering::Release);
    }
}

/// One line, however many elections share the fate.
fn emit(fate: &[Entry]) {
    match fate {
        [] => {}
        [entry] => say(entry),
        [first, ..] => say_of_many(first, fate),
    }
}

macro_rules! at_level {
    ($level:expr, $($event:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!(target: "pg_leader", $($event)*),
            Level::WARN => tracing::warn!(target: "pg_leader", $($event)*),
            Level::INFO => tracing::info!(target: "pg_leader", $($event)*),
            _ => tracing::debug!(target: "pg_leader", $($event)*),
        }
    };
}

fn say(entry: &Entry) {
    let Entry {
        level,
        message,
        term,
        pid,
        ended,
        remaining,
        ..
    } = entry;
    // What it tells may be the words of others. Fields are data, and told as they are.
    let message = shown(message);
    let election = entry.election.as_deref();
    let address = entry.address.as_deref();
    let ending = entry.ending.map(tracing::field::debug);
    let at_most_ms = entry.at_most.map(|at_most| at_most.as_millis() as u64);
    at_level!(
        *level,
        election,
        address,
        term,
        pid,
        ending,
        at_most_ms,
        ended,
        remaining,
        "{message}"
    );
}

fn say_of_many(first: &Entry, fate: &[Entry]) {
    let message = shown(&first.message);
    let names: Vec<&str> = fate
        .iter()
        .filter_map(|entry| entry.election.as_deref())
        .take(NAMES)
        .collect();
    let mut names = names.join(", ");
    if fate.len() > NAMES {
        names += &format!(" and {} more", fate.len() - NAMES);
    }
    let elections = fate.len();
    let ending = first.ending.map(tracing::field::debug);
    at_level!(first.level, elections, names, ending, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What each line was about.
    type Lines = Arc<Mutex<Vec<Vec<Entry>>>>;

    fn entry(election: &str, message: &'static str) -> Entry {
        Entry::new(Level::INFO, message).of(&election.into(), None)
    }

    fn keep(lines: &Lines) -> impl Fn(&[Entry]) + Send + 'static {
        let lines = Arc::clone(lines);
        move |fate| lines.lock().unwrap().push(fate.to_vec())
    }

    const CEILING: Duration = Duration::from_secs(30);

    #[test]
    fn elections_that_share_a_fate_share_a_line() {
        let lines = Lines::default();
        let log = Log::start_with(keep(&lines)).unwrap();
        let mut entries: Vec<Entry> = (0..100)
            .map(|nth| entry(&format!("e{nth}"), "deposed"))
            .collect();
        entries.push(entry("other", "may lead again"));
        entries.push(Entry::new(Level::INFO, "connected"));
        entries.push(Entry::new(Level::INFO, "connected"));
        log.say_all(entries);
        log.flush(CEILING);
        let lengths: Vec<usize> = lines.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(lengths, [100, 1, 1, 1]);
    }

    #[test]
    fn a_log_that_blocks_keeps_nobody_and_what_is_dropped_is_counted() {
        let lines = Lines::default();
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let log = Log::start_with({
            let (gate, keep) = (Arc::clone(&gate), keep(&lines));
            move |fate| {
                drop(gate.lock());
                keep(fate);
            }
        })
        .unwrap();
        let said = LIMIT + 500;
        for nth in 0..said {
            let message = if nth % 2 == 0 { "even" } else { "odd" };
            log.say(entry("e", message));
        }
        let began = Instant::now();
        log.flush(Duration::from_millis(50));
        assert!(began.elapsed() < CEILING);
        drop(closed);
        log.flush(CEILING);
        let lines = lines.lock().unwrap();
        let (dropped, kept): (Vec<_>, Vec<_>) =
            lines.iter().partition(|fate| fate[0].election.is_none());
        let kept: usize = kept.iter().map(|fate| fate.len()).sum();
        assert_eq!(kept, LIMIT);
        assert_eq!(dropped.len(), 1);
        assert!(dropped[0][0].message.starts_with("500 events were dropped"));
    }

    #[test]
    fn a_log_that_panics_is_asked_again() {
        let lines = Lines::default();
        let log = Log::start_with({
            let keep = keep(&lines);
            move |fate| {
                assert_ne!(fate[0].message, "bad", "as the test wants it");
                keep(fate);
            }
        })
        .unwrap();
        log.say_all(vec![entry("e", "bad"), entry("e", "good")]);
        log.flush(CEILING);
        let lines = lines.lock().unwrap();
        assert_eq!(lines[0][0].message, "good");
        assert!(lines[1][0].message.starts_with("1 events were dropped"));
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_it_tells() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let forged = "it ends: no\n2026 INFO took office\u{9b}2J\u{202e}";
        tracing::subscriber::with_default(subscriber, || {
            emit(&[Entry::new(Level::WARN, forged)]);
            emit(&[entry("a\nb", forged), entry("c\u{9b}d", forged)]);
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        for line in text.lines() {
            assert!(line.contains(r"no\n2026 INFO took office\u{9b}2J\u{202e}"));
            assert_eq!(shown(line), line);
        }
        assert!(text.contains(r"a\nb, c\u{9b}d"), "{text}");
    }
}
