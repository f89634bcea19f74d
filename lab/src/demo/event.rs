//! What happens to the leader, and what must come of it.

use std::time::Duration;

use crate::LEASE;
use crate::report::millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    StepDown,
    KillSession,
    KillProcess,
    StopProcess,
    CrashServer,
}

impl Event {
    pub(crate) const ALL: [Event; 5] = [
        Event::StepDown,
        Event::KillSession,
        Event::KillProcess,
        Event::StopProcess,
        Event::CrashServer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Event::StepDown => "leader steps down",
            Event::KillSession => "session killed from SQL",
            Event::KillProcess => "process killed (kill -9)",
            Event::StopProcess => "process hung (SIGSTOP)",
            Event::CrashServer => "server crashed",
        }
    }

    /// Between what the time without a leader must be. Multiples of the lease with a wide ceiling: this
    /// shows that nobody waited who could know, and that whoever could not did wait; it is no benchmark.
    pub(crate) fn bounds(self, direct: bool) -> (Duration, Duration) {
        let nothing = Duration::ZERO;
        match self {
            Event::StepDown => (nothing, LEASE / 2),
            Event::KillSession => (nothing, LEASE * 3 / 4),
            Event::KillProcess if direct => (nothing, LEASE * 3 / 4),
            // Behind a proxy the end of a session proves nothing, and one lease passes first.
            Event::KillProcess => (nothing, LEASE * 3),
            Event::StopProcess => (LEASE / 2, LEASE * 3),
            Event::CrashServer => (nothing, Duration::from_secs(10)),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Held,
    /// What did not.
    Broken(Vec<String>),
    /// Why.
    Skipped(&'static str),
}

/// What came of an event.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) event: Event,
    pub(crate) verdict: Verdict,
    pub(crate) measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// The new term.
    pub(crate) term: i64,
    /// The time without a leader.
    pub(crate) gap: Duration,
    /// The time with two at work.
    pub(crate) overlap: Duration,
}

impl Outcome {
    /// Nothing is broken; what was skipped is not.
    pub(crate) fn held(&self) -> bool {
        !matches!(self.verdict, Verdict::Broken(_))
    }

    pub(crate) fn skipped(event: Event, why: &'static str) -> Outcome {
        Outcome {
            event,
            verdict: Verdict::Skipped(why),
            measured: None,
        }
    }

    /// Judge what was measured after term `old`.
    pub(crate) fn judge(event: Event, direct: bool, old: i64, measured: Measured) -> Outcome {
        let Measured { term, gap, overlap } = measured;
        let (least, most) = event.bounds(direct);
        let mut broken = vec![];
        if overlap > Duration::ZERO {
            broken.push(format!("two were at work for {}", millis(overlap)));
        } else if gap < least {
            broken.push(format!(
                "the next leader did not wait for {}",
                millis(least)
            ));
        } else if gap > most {
            broken.push(format!("nobody led for more than {}", millis(most)));
        }
        if term <= old {
            broken.push(format!("term {term} came after term {old}"));
        }
        Outcome {
            event,
            verdict: match broken.is_empty() {
                true => Verdict::Held,
                false => Verdict::Broken(broken),
            },
            measured: Some(measured),
        }
    }

    /// Something else did not hold either.
    pub(crate) fn broken(mut self, what: String) -> Outcome {
        let mut broken = match self.verdict {
            Verdict::Broken(broken) => broken,
            Verdict::Held | Verdict::Skipped(_) => vec![],
        };
        broken.push(what);
        self.verdict = Verdict::Broken(broken);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(event: Event, direct: bool, term: i64, gap: Duration, overlap: Duration) -> bool {
        Outcome::judge(event, direct, 3, Measured { term, gap, overlap }).held()
    }

    #[test]
    fn each_bound_is_kept_or_broken() {
        let none = Duration::ZERO;
        for event in Event::ALL {
            let (least, most) = event.bounds(true);
            assert!(held(event, true, 4, least, none));
            assert!(held(event, true, 4, most, none));
            assert!(!held(event, true, 4, most + Duration::from_nanos(1), none));
            assert!(!held(event, true, 4, most, Duration::from_nanos(1)));
            assert!(!held(event, true, 3, most, none));
        }
        assert!(!held(Event::StopProcess, true, 4, LEASE / 3, none));
        assert!(held(Event::KillProcess, false, 4, LEASE * 2, none));
        assert!(!held(Event::KillProcess, true, 4, LEASE * 2, none));
    }
}
