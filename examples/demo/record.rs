//! The steps of work that a process writes down, and what the demo reads from them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use crate::clock;

/// A step of work: it writes down when it began and when it was done. A process that is killed in between leaves
/// a step without an end.
pub(crate) fn step(term: u64) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "began {term} {}", clock::now())?;
    writeln!(stdout, "ended {term} {}", clock::now())
}

/// From the first step of a process in a term to its last, and thus every step in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) term: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Steps that have ended.
    pub(crate) steps: u64,
    /// Steps that began after the process had been stopped.
    pub(crate) after_stop: u64,
    /// When a step was done that a stop had cut in two: on waking, in whoever's term. No library can prevent
    /// that, so it does not count as work; it is told of.
    pub(crate) cut: Option<u64>,
    began: u64,
}

/// What one process has written so far.
pub(crate) struct Record {
    file: File,
    read: u64,
    spans: BTreeMap<u64, Span>,
    stopped_at: Option<u64>,
}

impl Record {
    /// Of the process that has `file` as its standard output.
    pub(crate) fn new(file: File) -> Record {
        Record {
            file,
            read: 0,
            spans: BTreeMap::new(),
            stopped_at: None,
        }
    }

    /// The process has been stopped, and does nothing from `time` until it is continued.
    pub(crate) fn stopped(&mut self, time: u64) {
        self.stopped_at = Some(time);
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.spans.values().copied()
    }

    /// Read what has been written since.
    pub(crate) fn update(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 1 << 16];
        loop {
            // At an offset of its own: the process and this one share the file's.
            let length = self.file.read_at(&mut bytes, self.read)?;
            let whole = bytes[..length]
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |end| end + 1);
            if whole == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&bytes[..whole]);
            for line in text.lines() {
                self.line(line)
                    .ok_or_else(|| io::Error::other(format!("no step of work: {line:?}")))?;
            }
            self.read += whole as u64;
        }
    }

    /// Forget what was written, so that the file does not grow for ever.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.set_len(0)?;
        self.read = 0;
        Ok(())
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let (what, term, time) = (words.next()?, words.next()?, words.next()?);
        let (term, time) = (term.parse().ok()?, time.parse().ok()?);
        let span = self.spans.entry(term).or_insert(Span {
            term,
            first: time,
            last: time,
            steps: 0,
            after_stop: 0,
            cut: None,
            began: time,
        });
        match what {
            "began" => {
                span.began = time;
                span.last = span.last.max(time);
                if self.stopped_at.is_some_and(|stopped| time > stopped) {
                    span.after_stop += 1;
                }
            }
            "ended" => {
                let cut = |stopped: u64| span.began <= stopped && stopped < time;
                if self.stopped_at.is_some_and(cut) {
                    span.cut = Some(time);
                } else {
                    span.last = span.last.max(time);
                }
                span.steps += 1;
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &str) -> Record {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        Record::new(file)
    }

    fn ends(record: &mut Record) -> Vec<(u64, u64, u64)> {
        record.update().unwrap();
        record
            .spans()
            .map(|span| (span.term, span.first, span.last))
            .collect()
    }

    #[test]
    fn a_span_is_from_the_first_step_to_the_last() {
        let mut record = record("began 1 10\nended 1 12\nbegan 1 13\nended 1 15\nbegan 3 20\n");
        assert_eq!(ends(&mut record), [(1, 10, 15), (3, 20, 20)]);
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let mut record = record("began 1 10\nended 1 1");
        assert_eq!(ends(&mut record), [(1, 10, 10)]);
        writeln!(record.file, "2").unwrap();
        assert_eq!(ends(&mut record), [(1, 10, 12)]);
    }

    #[test]
    fn a_step_that_a_stop_cuts_in_two_is_told_of() {
        let mut record = record("began 1 10\nended 1 12\nbegan 1 13\nended 1 99\n");
        record.stopped(14);
        assert_eq!(ends(&mut record), [(1, 10, 13)]);
        assert_eq!(record.spans().next().unwrap().cut, Some(99));
    }

    #[test]
    fn a_step_that_begins_after_the_stop_counts_in_full() {
        let mut record = record("began 1 10\nended 1 90\nbegan 1 91\nended 1 92\n");
        record.stopped(11);
        assert_eq!(ends(&mut record), [(1, 10, 92)]);
        assert_eq!(record.spans().next().unwrap().after_stop, 1);
    }

    #[test]
    fn what_is_no_step_is_refused() {
        assert!(record("hello\n").update().is_err());
    }
}
