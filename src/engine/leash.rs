//! When the work of a term must stop: one rule for all who see to it.

use std::time::Duration;

use super::Instant;

/// What must become of the work of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Demand {
    /// It may go on.
    Run,
    /// It should stop by itself.
    End,
    /// It must stop: a future is dropped, a process killed.
    Drop,
    /// It was to have stopped: the process that still runs it ends.
    Abort,
}

/// Until when the work of a term may run, and what follows.
///
/// A term is lost when its time is over without an answer of the server, or sooner with its session. From there on
/// nothing extends it, so that no instant that was seen to pass ever comes back (invariants 1 and 5).
///
/// The rules of the election, the task that runs the work, the watch over it and the guard of `pg-leader run` all ask
/// this one. So may a program that looks after work of its own:
///
/// ```
/// use std::time::Duration;
/// use pg_leader::clock;
/// use pg_leader::leash::{Demand, Leash};
///
/// let (now, second) = (clock::now(), Duration::from_secs(1));
/// let mut leash = Leash::until(now + second, second / 10);
/// assert_eq!(leash.demand(now, true), Demand::Run);
/// leash.end(now, second * 10);
/// assert_eq!(leash.demand(now, true), Demand::End);
/// // However long the grace is, a lost term ends it.
/// assert_eq!(leash.demand(now + second * 2, true), Demand::Drop);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leash {
    until: Instant,
    lost: bool,
    /// From `until` on.
    drop_after: Duration,
    abort_after: Option<Duration>,
    /// When the time for stopping by itself is over. Set once the work should stop.
    grace_over: Option<Instant>,
}

impl Leash {
    /// The term is lost at `until`, unless that is extended before; its work is dropped `drop_after` later.
    pub const fn until(until: Instant, drop_after: Duration) -> Leash {
        Leash {
            until,
            lost: false,
            drop_after,
            abort_after: None,
            grace_over: None,
        }
    }

    /// Work that still runs so long after its term was lost ends its process.
    #[must_use]
    pub const fn aborting_after(self, abort_after: Duration) -> Leash {
        Leash {
            abort_after: Some(abort_after),
            ..self
        }
    }

    /// The term lasts until then, if nothing is answered: as whoever keeps its time says.
    pub(crate) fn lasts(&mut self, until: Instant) {
        self.until = until;
    }

    /// The term goes on until then, if it is not lost by now. Never shortens.
    pub fn extend(&mut self, now: Instant, until: Instant) {
        if !self.is_lost(now) {
            self.until = self.until.max(until);
        }
    }

    /// The work should stop, by itself within `grace`. Asked again it can only be sooner.
    pub fn end(&mut self, now: Instant, grace: Duration) {
        let over = now + grace;
        self.grace_over = Some(self.grace_over.map_or(over, |last| last.min(over)));
    }

    /// The session is gone, and the term with it: its time would have been over at `until`.
    pub fn lose(&mut self, until: Instant) {
        if !self.lost {
            self.until = self.until.min(until);
            self.lost = true;
        }
    }

    /// When the term is lost at the latest, or was.
    pub(crate) fn deadline(&self) -> Instant {
        self.until
    }

    /// Whether the term is lost.
    pub fn is_lost(&self, now: Instant) -> bool {
        self.lost || now >= self.until
    }

    /// What must become of the work now. Work that is not graceful is given no time to stop by itself.
    pub fn demand(&self, now: Instant, graceful: bool) -> Demand {
        let lost = self.is_lost(now);
        if now >= self.abort_at() {
            Demand::Abort
        } else if now >= self.drop_at() {
            Demand::Drop
        } else if !lost && self.grace_over.is_none() {
            Demand::Run
        } else if graceful {
            Demand::End
        } else {
            Demand::Drop
        }
    }

    /// When the demand changes by itself, if nothing extends the term: for graceful work.
    pub fn next(&self, now: Instant) -> Instant {
        let lost_at = if self.lost {
            Instant::NEVER
        } else {
            self.until
        };
        let instants = [lost_at, self.drop_at(), self.abort_at()];
        let later = instants.into_iter().filter(|instant| *instant > now);
        later.min().unwrap_or(Instant::NEVER)
    }

    /// From when on the work is dropped, whether or not it is graceful.
    pub fn drop_at(&self) -> Instant {
        let lost = self.until + self.drop_after;
        self.grace_over.map_or(lost, |over| over.min(lost))
    }

    /// From when on work that still runs ends its process. An orderly end demands nothing of the kind.
    pub fn abort_at(&self) -> Instant {
        self.abort_after
            .map_or(Instant::NEVER, |after| self.until + after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u32) -> Instant {
        Instant::from_nanos(0) + MILLISECOND * millis
    }

    /// That of a lease of a second.
    fn leash() -> Leash {
        Leash::until(at(750), MILLISECOND * 100).aborting_after(MILLISECOND * 200)
    }

    #[test]
    fn what_is_not_extended_ends_is_dropped_and_ends_its_process() {
        let leash = leash();
        for (now, demand, next) in [
            (749, Demand::Run, at(750)),
            (750, Demand::End, at(850)),
            (849, Demand::End, at(850)),
            (850, Demand::Drop, at(950)),
            (950, Demand::Abort, Instant::NEVER),
        ] {
            assert_eq!(leash.demand(at(now), true), demand, "{now}");
            assert_eq!(leash.next(at(now)), next, "{now}");
        }
    }

    #[test]
    fn whoever_does_not_listen_is_dropped_instead_of_told() {
        let mut leash = leash();
        assert_eq!(leash.demand(at(749), false), Demand::Run);
        assert_eq!(leash.demand(at(750), false), Demand::Drop);
        leash.end(at(1), MILLISECOND * 100);
        assert_eq!(leash.demand(at(1), false), Demand::Drop);
        assert_eq!(leash.demand(at(1), true), Demand::End);
    }

    #[test]
    fn an_extension_that_comes_too_late_changes_nothing_and_none_shortens() {
        let mut leash = leash();
        leash.extend(at(100), at(200));
        assert_eq!(leash.next(at(200)), at(750));
        leash.extend(at(750), at(2000));
        assert_eq!(leash.demand(at(850), true), Demand::Drop);
    }

    #[test]
    fn the_grace_is_cut_short_when_the_term_is_lost() {
        let mut leash = leash();
        leash.end(at(100), MILLISECOND * 10_000);
        assert_eq!(leash.demand(at(100), true), Demand::End);
        assert_eq!(leash.demand(at(850), true), Demand::Drop);
        leash.extend(at(700), at(1700));
        assert_eq!(leash.demand(at(850), true), Demand::End);
        assert_eq!(leash.drop_at(), at(1800));
    }

    #[test]
    fn asked_again_it_ends_sooner_and_never_later() {
        let mut leash = leash();
        leash.end(at(100), MILLISECOND * 100);
        leash.end(at(150), MILLISECOND * 100);
        assert_eq!(leash.drop_at(), at(200));
        leash.end(at(160), Duration::ZERO);
        assert_eq!(leash.demand(at(160), true), Demand::Drop);
    }

    /// A session that is gone sooner: its work has as much time as if its server had fallen silent, and no more.
    #[test]
    fn what_is_lost_stays_lost_and_its_instants_stand_still() {
        let mut leash = leash();
        leash.lose(at(700));
        leash.lose(at(100));
        assert!(leash.is_lost(at(1)));
        leash.extend(at(1), at(2000));
        assert_eq!(leash.demand(at(1), true), Demand::End);
        assert_eq!(leash.next(at(1)), at(800));
        assert_eq!(leash.drop_at(), at(800));
        assert_eq!(leash.abort_at(), at(900));
    }

    #[test]
    fn an_orderly_end_ends_no_process() {
        let mut leash = Leash::until(Instant::NEVER, MILLISECOND).aborting_after(MILLISECOND);
        leash.end(at(100), MILLISECOND * 100);
        assert_eq!(leash.demand(at(200), true), Demand::Drop);
        assert_eq!(leash.demand(at(1_000_000), true), Demand::Drop);
        assert_eq!(leash.next(at(200)), Instant::NEVER);
    }
}
