//! The log of faults.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::judge::history::{Kind, Mark};
use crate::record::now;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    log: Arc<File>,
    last: Arc<AtomicU64>,
}

impl Faults {
    pub(super) fn append_to(path: &Path) -> std::io::Result<Faults> {
        let log = File::options().create(true).append(true).open(path)?;
        Ok(Faults {
            log: Arc::new(log),
            last: Arc::default(),
        })
    }

    /// By a single write: whoever is killed leaves whole lines, and at most one that lacks its end.
    fn write(&self, mark: &Mark) {
        let mut line = serde_json::to_vec(mark).expect("a mark can be written as JSON");
        line.push(b'\n');
        (&*self.log)
            .write_all(&line)
            .expect("the log can be written");
    }

    /// Before it is done. The number of this fault.
    pub(super) fn begin(&self, kind: Kind, process: Option<&str>, election: Option<&str>) -> u64 {
        let id = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let (process, election) = (process.map(str::to_owned), election.map(str::to_owned));
        self.write(&Mark::Begin {
            at: now(),
            id,
            kind,
            process,
            election,
        });
        id
    }

    /// After it is over.
    pub(super) fn end(&self, id: u64) {
        self.write(&Mark::End { at: now(), id });
    }

    /// It could not be done; with its number where it had begun.
    pub(super) fn missed(&self, id: Option<u64>, why: &str) {
        self.write(&Mark::Missed {
            at: now(),
            id,
            why: why.to_owned(),
        });
    }

    /// A process has ended, and was waited for.
    pub(super) fn gone(&self, process: &str, status: &str) {
        let (process, status) = (process.to_owned(), status.to_owned());
        self.write(&Mark::Gone {
            at: now(),
            process,
            status,
        });
    }

    /// Who leads, and who is next in line.
    pub(super) fn standing(&self, election: &str, leader: Option<&str>, successor: Option<&str>) {
        self.write(&Mark::Standing {
            at: now(),
            election: election.to_owned(),
            leader: leader.map(str::to_owned),
            successor: successor.map(str::to_owned),
        });
    }

    /// How far the server's clock and the shared one are apart.
    pub(super) fn compare_clocks(&self) {
        let before = now();
        let time = clock_gettime(ClockId::Realtime);
        let after = now();
        let realtime = time.tv_sec * 1_000_000_000 + time.tv_nsec;
        let at = before + (after - before) / 2;
        // Whoever was interrupted between two readings cannot compare them.
        if after - before < 100_000 {
            self.write(&Mark::Clock {
                at,
                offset: realtime - at as i64,
            });
        }
    }
}
