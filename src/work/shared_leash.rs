//! How long the work of a session's terms may run, known to everybody without the driver's help.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::{Instant, Leash, Timings};

/// Set once the terms are over. The rest of the word stays as it was: it still says when the work is
/// dropped, and when the process ends.
const OVER: u64 = 1 << 63;

/// Until when the terms of a session are current, in one word, so that it is never seen half changed.
///
/// Over is for good: whoever sees the deadline pass ends it, so that no reader can see it come back
/// (invariant 5), and no answer that comes later moves what follows from it (invariant 1).
#[derive(Debug)]
pub(crate) struct SharedLeash {
    word: AtomicU64,
    rule: Leash,
}

impl SharedLeash {
    /// Of a session whose last answered query was sent at `contact`.
    pub(crate) fn new(timings: &Timings, contact: Instant) -> Self {
        SharedLeash {
            word: AtomicU64::new((contact + timings.deposed).as_nanos()),
            rule: timings.leash(),
        }
    }

    /// Extend to `until`. False when it is over.
    pub(crate) fn extend(&self, until: Instant) -> bool {
        let until = until.as_nanos();
        let mut word = self.word.load(Ordering::Acquire);
        while word & OVER == 0 {
            if word >= until {
                return true;
            }
            match self
                .word
                .compare_exchange_weak(word, until, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(newer) => word = newer,
            }
        }
        false
    }

    /// The terms are over.
    pub(crate) fn end(&self) {
        self.word.fetch_or(OVER, Ordering::AcqRel);
    }

    /// For how long the terms are current; zero once they are over.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        let mut word = self.word.load(Ordering::Acquire);
        while word & OVER == 0 {
            let remaining = Instant::from_nanos(word).since(now);
            if !remaining.is_zero() {
                return remaining;
            }
            // An extension may have come in between; then the terms go on.
            match self.word.compare_exchange_weak(
                word,
                word | OVER,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => break,
                Err(newer) => word = newer,
            }
        }
        Duration::ZERO
    }

    /// Whether the terms are over. Who has been told so may rely on the instants below: they stand still.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.remaining(now).is_zero()
    }

    /// When the terms end, if nothing else is answered.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::from_nanos(self.word.load(Ordering::Acquire) & !OVER)
    }

    /// What follows for the work of a term, as far as the session is concerned.
    pub(crate) fn rule(&self, now: Instant) -> Leash {
        // First: whoever sees it pass ends it, and from then on the deadline stands still.
        let over = self.is_over(now);
        let mut leash = self.rule;
        leash.lasts(self.deadline());
        if over {
            leash.lose(self.deadline());
        }
        leash
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn timings() -> Timings {
        Timings::new(
            Duration::from_millis(1000),
            Timings::DEFAULT_RETRY_INTERVAL,
            Timings::DEFAULT_GRACE,
        )
        .expect("the default is coherent")
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_instants_are_those_of_the_table() {
        let timings = timings();
        let leash = SharedLeash::new(&timings, at(5000));
        assert_eq!(leash.deadline(), at(5000) + timings.deposed);
        let rule = leash.rule(at(5000));
        assert_eq!(rule.next(at(5000)), leash.deadline());
        assert_eq!(rule.drop_at(), at(5000) + timings.dropped);
        assert_eq!(rule.abort_at(), at(5000) + timings.aborted);
    }

    #[test]
    fn a_deadline_that_somebody_saw_pass_cannot_be_extended() {
        let leash = SharedLeash::new(&timings(), at(0));
        assert!(!leash.is_over(at(749)));
        assert!(leash.is_over(at(750)));
        assert!(!leash.extend(at(9000)));
        assert_eq!(leash.remaining(at(1)), Duration::ZERO);
    }

    #[test]
    fn a_deadline_is_extended_and_never_shortened() {
        let leash = SharedLeash::new(&timings(), at(0));
        assert!(leash.extend(at(2000)));
        assert!(leash.extend(at(1000)));
        assert_eq!(leash.remaining(at(500)), Duration::from_millis(1500));
        leash.end();
        assert!(!leash.extend(at(3000)));
    }

    #[test]
    fn once_over_it_still_says_when_the_work_is_dropped_and_the_process_ends() {
        for end in [SharedLeash::end as fn(&SharedLeash), |leash| {
            assert!(leash.is_over(at(5000)));
        }] {
            let leash = SharedLeash::new(&timings(), at(0));
            assert!(leash.extend(at(1750)));
            end(&leash);
            assert_eq!(leash.remaining(at(0)), Duration::ZERO);
            leash.extend(at(9000));
            assert_eq!(leash.deadline(), at(1750));
            let rule = leash.rule(at(0));
            assert!(rule.is_lost(at(0)));
            assert_eq!(rule.drop_at(), at(1850));
            assert_eq!(rule.abort_at(), at(1950));
        }
    }

    /// Over is for good, whoever sees it first and whoever extends meanwhile.
    #[test]
    fn no_extension_wins_over_an_end_that_was_seen() {
        for _ in 0..200 {
            let leash = Arc::new(SharedLeash::new(&timings(), at(0)));
            let extending = std::thread::spawn({
                let leash = Arc::clone(&leash);
                move || (1..200).all(|step| leash.extend(at(750 + step)))
            });
            let over = (0..200).any(|_| leash.is_over(at(800)));
            let frozen = leash.deadline();
            let extended = extending.join().expect("it does not panic");
            if over {
                assert!(leash.is_over(at(0)));
                assert_eq!(leash.deadline(), frozen);
            } else {
                assert!(extended);
            }
        }
    }
}
