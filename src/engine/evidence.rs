//! What a follower has seen of the leader's backend: the evidence for the autopsy.

use std::time::Duration;

use super::{Counters, Held, Instant, Won};

/// One leader's backend, watched on one session. It dies with that session: another one may be on
/// another server, or on one whose counters began again at zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    term: u64,
    pid: i32,
    /// Taken before a try that found the lock held by `pid`.
    sample: Counters,
    silence: Option<Silence>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Silence {
    mark: i64,
    /// Receipt of the first answer with this mark.
    since: Instant,
    /// From there to the sending of the last query that brought the same mark.
    lasted: Duration,
}

impl Evidence {
    /// What is known after one more failed try. Only a lock held by the very backend that is recorded
    /// with the current term tells anything about that term.
    pub(crate) fn after(
        before: Option<Evidence>,
        held: &Held,
        sent: Instant,
        now: Instant,
    ) -> Option<Evidence> {
        if held.holder_pid.is_none() {
            // Let go during this very try: what was seen before stays true.
            let known = before.filter(|watch| watch.term == held.term);
            return known.or_else(|| {
                Some(Evidence {
                    term: held.term,
                    pid: held.leader_pid.filter(|_| held.watched)?,
                    sample: held.counters,
                    silence: None,
                })
            });
        }
        let pid = held
            .leader_pid
            .filter(|_| held.holder_pid == held.leader_pid)?;
        let known = before
            .filter(|watch| watch.term == held.term && watch.pid == pid)
            .and_then(|watch| watch.silence);
        let silence = match (held.silent_since, known) {
            (Some(mark), Some(silence)) if silence.mark == mark => Some(Silence {
                lasted: sent.since(silence.since),
                ..silence
            }),
            (Some(mark), _) => Some(Silence {
                mark,
                since: now,
                lasted: Duration::ZERO,
            }),
            // It left between the look at the lock and the look at it: what was seen before stays true.
            (None, known) => known,
        };
        Some(Evidence {
            term: held.term,
            pid,
            sample: held.counters,
            silence,
        })
    }

    /// Whether this is about the term that has ended.
    pub(crate) fn concerns(&self, won: &Won) -> bool {
        self.term == won.last_term && Some(self.pid) == won.last_pid
    }

    /// Since when the backend is silent, at the latest; `NEVER` where that cannot be seen.
    pub(crate) fn silent_since(&self) -> Instant {
        self.silence
            .as_ref()
            .map_or(Instant::NEVER, |silence| silence.since)
    }

    /// For how long the backend has been seen silent while it held the lock.
    pub(crate) fn silent_for(&self) -> Duration {
        self.silence
            .as_ref()
            .map_or(Duration::ZERO, |silence| silence.lasted)
    }

    pub(crate) fn sample(&self) -> Counters {
        self.sample
    }
}
