//! Standard error. Whoever reads it may be gone, or read nothing: that ends nothing here, and blocks nothing.
//!
//! Lines go into a bounded queue, and one thread, which alone waits, writes them. Lines for which there is no
//! room are lost; how many is said once there is room again. Nothing else in this program writes there.

use std::fmt::Display;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use pg_leader::shown;

const LINES: usize = 1024;

/// So long the end of this process waits for what is queued.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);

struct Queue {
    lines: SyncSender<Vec<u8>>,
    taken: AtomicU64,
    lost: AtomicU64,
}

static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let (lines, queued) = sync_channel(LINES);
    // Where there can be no thread all lines are lost.
    let _ = std::thread::Builder::new()
        .name("pg-leader-log".to_owned())
        .spawn(move || write(&queued));
    Queue {
        lines,
        taken: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    }
});

static WRITTEN: AtomicU64 = AtomicU64::new(0);

fn queue(line: Vec<u8>) {
    // Before, so that a flush never counts more written than taken.
    QUEUE.taken.fetch_add(1, Ordering::AcqRel);
    if QUEUE.lines.try_send(line).is_err() {
        QUEUE.taken.fetch_sub(1, Ordering::AcqRel);
        QUEUE.lost.fetch_add(1, Ordering::AcqRel);
    }
}

fn write(queued: &Receiver<Vec<u8>>) {
    for line in queued {
        write_all(&line);
        WRITTEN.fetch_add(1, Ordering::AcqRel);
        let lost = QUEUE.lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            let words = "lines are missing here: nobody read them in time";
            write_all(format!("pg-leader: {lost} {words}\n").as_bytes());
        }
    }
}

/// Not by the standard library's handle: whoever waits for a reader would hold its lock.
fn write_all(mut line: &[u8]) {
    while !line.is_empty() {
        match rustix::io::write(io::stderr(), line) {
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) => match io::Error::from(error).kind() {
                io::ErrorKind::Interrupted => {}
                // Somebody else has made it so that it does not block.
                io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
                _ => return,
            },
        }
    }
}

/// Queue a line. What others have named begins none of its own.
pub(crate) fn say(what: impl Display) {
    queue(format!("{}\n", shown(&what.to_string())).into_bytes());
}

/// Queue what this program alone has written, of several lines.
fn say_all(what: impl Display) {
    let what = what.to_string();
    let lines: Vec<_> = what.lines().map(shown).collect();
    queue(format!("{}\n", lines.join("\n")).into_bytes());
}

/// Wait until what is queued is written, for as long as an ending may be delayed by that.
pub(crate) fn flush() {
    let since = Instant::now();
    while WRITTEN.load(Ordering::Acquire) < QUEUE.taken.load(Ordering::Acquire)
        && since.elapsed() < FLUSHED_WITHIN
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Takes each line that `tracing` writes, which is one write. It may have colours; what the library says there, and the
/// fields as they are written, steer no terminal.
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        queue(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on panics, of whatever thread, are said in the same way.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(said));
}

fn said(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a thread");
    let trace = std::backtrace::Backtrace::capture();
    match trace.status() {
        std::backtrace::BacktraceStatus::Captured => {
            say_all(format_args!("{name} {panic}\n{trace}"));
        }
        _ => say_all(format_args!("{name} {panic}")),
    }
    // The main thread's end is the process's.
    if name == "main" {
        flush();
    }
}
