//! Until when the command may run.

use std::time::Duration;

use pg_leader::clock::Instant;

/// What must happen to the command now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    Run,
    End,
    Kill,
}

/// Until when the command may run, and when it is killed. Neither ever comes back once it has passed.
#[derive(Debug)]
pub(super) struct Limits {
    /// The term is lost then, unless this is extended before.
    until: Instant,
    /// From then to SIGKILL.
    margin: Duration,
    /// When the grace is over. Set once the command shall end.
    grace_over: Option<Instant>,
    cut_off: bool,
}

impl Limits {
    /// Not yet extended: nothing may run.
    pub(super) fn new(lease: Duration) -> Limits {
        Limits {
            until: Instant::from_nanos(0),
            // The term is lost at 0.75 of the lease, so this is 0.8; the library drops its work at 0.85.
            margin: lease / 20,
            grace_over: None,
            cut_off: false,
        }
    }

    /// The command may run until then, if it still may now.
    pub(super) fn extend(&mut self, now: Instant, until: Instant) {
        if now < self.until {
            self.until = self.until.max(until);
        }
    }

    /// The first extension.
    pub(super) fn begin(&mut self, until: Instant) {
        self.until = until;
    }

    /// The command shall end, within `grace`. Asked again it can only be sooner.
    pub(super) fn end(&mut self, now: Instant, grace: Duration) {
        let over = now + grace;
        self.grace_over = Some(self.grace_over.map_or(over, |last| last.min(over)));
    }

    /// Nobody extends any more.
    pub(super) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    pub(super) fn demand(&self, now: Instant) -> Demand {
        if now >= self.killed() {
            Demand::Kill
        } else if self.grace_over.is_some() || now >= self.until {
            Demand::End
        } else {
            Demand::Run
        }
    }

    /// When the demand changes by itself.
    pub(super) fn next(&self, now: Instant) -> Instant {
        if self.demand(now) == Demand::Run {
            self.until
        } else {
            self.killed()
        }
    }

    fn killed(&self) -> Instant {
        if self.cut_off {
            return Instant::from_nanos(0);
        }
        let lost = self.until + self.margin;
        self.grace_over.map_or(lost, |over| over.min(lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn at(millis: u32) -> Instant {
        Instant::from_nanos(0) + MILLISECOND * millis
    }

    fn running_until(until: Instant) -> Limits {
        let mut limits = Limits::new(LEASE);
        limits.begin(until);
        limits
    }

    #[test]
    fn an_unextended_command_is_asked_to_end_and_then_killed() {
        let limits = running_until(at(750));
        assert_eq!(limits.demand(at(749)), Demand::Run);
        assert_eq!(limits.next(at(749)), at(750));
        assert_eq!(limits.demand(at(750)), Demand::End);
        assert_eq!(limits.next(at(750)), at(800));
        assert_eq!(limits.demand(at(800)), Demand::Kill);
    }

    #[test]
    fn an_extension_that_comes_too_late_changes_nothing() {
        let mut limits = running_until(at(750));
        limits.extend(at(750), at(2000));
        assert_eq!(limits.demand(at(800)), Demand::Kill);
    }

    #[test]
    fn an_extension_never_shortens() {
        let mut limits = running_until(at(750));
        limits.extend(at(100), at(900));
        limits.extend(at(100), at(200));
        assert_eq!(limits.demand(at(899)), Demand::Run);
    }

    #[test]
    fn the_grace_is_cut_short_when_the_term_is_lost() {
        let mut limits = running_until(at(750));
        limits.end(at(100), LEASE * 10);
        assert_eq!(limits.demand(at(100)), Demand::End);
        assert_eq!(limits.next(at(100)), at(800));
        limits.extend(at(700), at(1700));
        assert_eq!(limits.next(at(800)), at(1750));
    }

    #[test]
    fn asked_again_it_ends_sooner_and_never_later() {
        let mut limits = running_until(at(100_000));
        limits.end(at(100), LEASE);
        limits.end(at(200), LEASE);
        assert_eq!(limits.next(at(200)), at(1100));
        limits.end(at(300), Duration::ZERO);
        assert_eq!(limits.demand(at(300)), Demand::Kill);
    }

    #[test]
    fn cut_off_it_is_killed_at_once() {
        let mut limits = running_until(at(750));
        limits.cut_off();
        assert_eq!(limits.demand(at(1)), Demand::Kill);
    }

    #[test]
    fn nothing_runs_before_the_first_extension() {
        assert_eq!(Limits::new(LEASE).demand(at(100)), Demand::Kill);
    }
}
