//! Every duration of the engine, derived from the lease (L) and checked against the others.
//!
//! | name | default | why |
//! | --- | --- | --- |
//! | heartbeat interval | L/8 | several chances before anyone gives up |
//! | deposed | 0.75 L after the *sending* of the last answered heartbeat | irrevocable |
//! | dropped | 0.85 L | the work's future is dropped |
//! | aborted | 0.95 L | the process ends, where `Overrun::Abort` asks for it |
//! | silence limit | 1.2 L | the server ends a silent session that leads or is successor |
//! | irrevocable | 0.8 L of watched silence | its leader has deposed itself; its work is over at L of that silence |
//! | eviction | L | the successor ends a backend that it has watched silent for so long |
//! | refractory period | L of the *previous* term | no old work can be left |
//! | probe interval | L/20 | the successor alone probes so often |
//! | slice | L/20 | a request of several elections is answered after so long, whatever it has not reached |
//! | retry interval | 5 s, jittered | every other candidate |
//! | refusal | 50 ms, doubled with each, the retry interval at most | what the server refuses of one election |
//! | grace | 10 s | how long an orderly end waits for the work to stop by itself |
//! | making way | 4 probe intervals, once per retry interval | for a candidate of higher priority to come |
//! | hold-off | 2 probe intervals; after a `lead` that failed, or ended by itself sooner than L, the retry interval | the others come first |
//! | reconnection | any time up to 50 ms, doubled with each failure; L/4 or 250 ms at most, whichever is longer, where the server may be back any moment; else the retry interval | not all at once |
//! | next address | L/4, 50 to 250 ms | of a name that has several: the next is called when the last has said nothing for so long |
//! | moment | L/500 | what is about to be over is looked at again |
//! | next eviction | L/4 | the backend has not ended: once more |
//! | last word | L/2 | at least so long the end of a term is told before its candidacy is over |
//! | restart | 20 ms, doubled with each failure, 1 s at most | a driver that panicked is put back on its engine |
//! | idle heartbeat | 2 retry intervals | a session with nothing to lose but itself |
//! | tick | L/20, 1 s at most | a suspended machine's timers stand still: look at the clock |
//! | belief | 3 retry intervals | so long is believed what was read of an election |
//!
//! Nowhere else in the engine, the driver and the watch is one of them multiplied or divided.

use std::fmt;
use std::time::Duration;

use super::{Instant, Leash};

/// Two processes' clocks may differ in rate by so much (invariant 1), in percent.
const CLOCK_TOLERANCE_PERCENT: u32 = 5;

/// The durations by which one process plays its part. See the module's table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timings {
    pub(crate) lease: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) deposed: Duration,
    pub(crate) dropped: Duration,
    pub(crate) aborted: Duration,
    pub(crate) silence_limit: Duration,
    pub(crate) retry_interval: Duration,
    pub(crate) grace: Duration,
}

/// Why a set of timings cannot keep the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incoherent {
    Lease,
    Heartbeats,
    Order,
    Clocks,
    SilenceLimit,
    Irrevocable,
    RetryInterval,
    Grace,
}

impl fmt::Display for Incoherent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Incoherent::Lease => {
                "the lease must be between 100 ms and 1 hour, in whole milliseconds"
            }
            Incoherent::Heartbeats => {
                "a leader needs three heartbeats within the time after which it is deposed"
            }
            Incoherent::Order => {
                "deposed, dropped and aborted must follow one another in this order"
            }
            Incoherent::Clocks => {
                "work must be over within the lease even on a clock that runs 5 % slow"
            }
            Incoherent::SilenceLimit => {
                "the server must not end a session before its leader has deposed itself and its work was dropped"
            }
            Incoherent::Irrevocable => {
                "silence must be watched until its leader has deposed itself even on a clock that runs 5 % slow"
            }
            Incoherent::RetryInterval => {
                "the retry interval must be at least the lease's probe interval and at most a day"
            }
            Incoherent::Grace => "the grace must be at most a day",
        })
    }
}

impl std::error::Error for Incoherent {}

impl Timings {
    pub(crate) const DEFAULT_LEASE: Duration = Duration::from_secs(1);
    pub(crate) const DEFAULT_RETRY_INTERVAL: Duration = Duration::from_secs(5);
    pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(10);
    const SHORTEST_LEASE: Duration = Duration::from_millis(100);
    const LONGEST_LEASE: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);
    /// The first reconnection after a failure comes within so long; each further one within twice as long.
    const FIRST_RECONNECTION: Duration = Duration::from_millis(50);
    const SHORTEST_OUTAGE: Duration = Duration::from_millis(250);
    const FIRST_REFUSAL: Duration = Duration::from_millis(50);
    const FIRST_RESTART: Duration = Duration::from_millis(20);
    const LONGEST_RESTART: Duration = Duration::from_secs(1);
    const LONGEST_TICK: Duration = Duration::from_secs(1);
    const LONGEST_WATCH_TICK: Duration = Duration::from_millis(20);
    const LONGEST_LOCK_WAIT: Duration = Duration::from_secs(5);
    const SHORTEST_ANNOUNCE: Duration = Duration::from_millis(5);
    const LONGEST_ANNOUNCE: Duration = Duration::from_millis(100);

    /// The timings that follow from `lease`, refused where they are incoherent.
    pub(crate) fn new(
        lease: Duration,
        retry_interval: Duration,
        grace: Duration,
    ) -> Result<Timings, Incoherent> {
        let timings = Timings {
            lease,
            heartbeat_interval: lease / 8,
            deposed: lease * 75 / 100,
            dropped: lease * 85 / 100,
            aborted: lease * 95 / 100,
            silence_limit: lease * 120 / 100,
            retry_interval,
            grace,
        };
        timings.check()?;
        Ok(timings)
    }

    pub(super) fn check(&self) -> Result<(), Incoherent> {
        let rules = [
            (
                (Self::SHORTEST_LEASE..=Self::LONGEST_LEASE).contains(&self.lease)
                    && self.lease.subsec_nanos().is_multiple_of(1_000_000),
                Incoherent::Lease,
            ),
            (
                !self.heartbeat_interval.is_zero() && self.heartbeat_interval * 3 <= self.deposed,
                Incoherent::Heartbeats,
            ),
            (
                self.deposed < self.dropped && self.dropped < self.aborted,
                Incoherent::Order,
            ),
            (
                self.aborted * (100 + CLOCK_TOLERANCE_PERCENT) / 100 <= self.lease,
                Incoherent::Clocks,
            ),
            (
                self.silence_limit * 100 / (100 + CLOCK_TOLERANCE_PERCENT) >= self.lease,
                Incoherent::SilenceLimit,
            ),
            (
                self.deposed * (100 + CLOCK_TOLERANCE_PERCENT) / 100
                    <= self.irrevocable(self.lease),
                Incoherent::Irrevocable,
            ),
            (
                self.retry_interval >= self.probe_interval(self.lease)
                    && self.retry_interval <= Self::DAY,
                Incoherent::RetryInterval,
            ),
            (self.grace <= Self::DAY, Incoherent::Grace),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(broken),
            None => Ok(()),
        }
    }

    /// How often the successor of a leader with `lease` probes.
    pub(crate) fn probe_interval(&self, lease: Duration) -> Duration {
        lease / 20
    }

    /// So long the server goes on with the elections of one request: the heartbeat waits behind no more than one such
    /// slice of each kind.
    pub(crate) fn slice(&self) -> Duration {
        self.probe_interval(self.lease)
    }

    /// The delay, give or take a quarter, after the server has refused one election so often in a row.
    pub(crate) fn refusal(&self, refusals: u32) -> Duration {
        doubled(Self::FIRST_REFUSAL, refusals).min(self.retry_interval)
    }

    /// How long those have to come who come first: who ranks higher, is successor, or is handed the next term.
    pub(crate) fn making_way(&self, lease: Duration) -> Duration {
        self.probe_interval(lease) * 4
    }

    /// How long the others come first after a term.
    pub(crate) fn hold_off(&self) -> Duration {
        self.probe_interval(self.lease) * 2
    }

    /// Until what is soon over is looked at again.
    pub(crate) fn moment(&self) -> Duration {
        self.probe_interval(self.lease) / 25
    }

    /// When to try again where fenced transactions stand in the way: an eighth longer at most than they take.
    pub(crate) fn fenced_interval(&self, standing: Duration) -> Duration {
        (standing / 8).clamp(self.moment(), self.probe_interval(self.lease))
    }

    /// Those who hear the same at one time draw a chance of so much each, not to come all at once.
    pub(crate) fn spread(&self) -> Duration {
        self.probe_interval(self.lease)
    }

    /// When whoever drew `chance` tries for what is vacant: the successor comes first.
    pub(crate) fn turn_at_office(&self, chance: Duration) -> Duration {
        self.probe_interval(self.lease) + chance * 4
    }

    /// When whoever drew `chance` tries for the successor's place, which a new term leaves free.
    pub(crate) fn turn_at_succession(&self, chance: Duration) -> Duration {
        chance * 10
    }

    /// How long silence must be watched before it proves that a leader with `lease` has deposed itself: its
    /// work is over once a lease of that silence has passed, whatever it sends meanwhile.
    pub(crate) fn irrevocable(&self, lease: Duration) -> Duration {
        lease * 80 / 100
    }

    /// How long silence must be watched before the successor ends the backend.
    pub(crate) fn eviction(&self, lease: Duration) -> Duration {
        lease
    }

    /// After how long the successor asks once more to end it.
    pub(crate) fn next_eviction(&self, lease: Duration) -> Duration {
        lease / 4
    }

    /// How long a candidacy that is taken back stays at least once its work has stopped, for its term to be vacated.
    pub(crate) fn last_word(&self) -> Duration {
        self.lease / 2
    }

    /// How long a process comes after the others where its work has failed, or never lasts.
    pub(crate) fn long_hold_off(&self, retry_interval: Duration) -> Duration {
        retry_interval.max(self.hold_off())
    }

    /// Work that ends by itself sooner than this has hardly begun.
    pub(crate) fn brief(&self) -> Duration {
        self.lease
    }

    /// The bound of the delay after so many failures to connect in a row. `outage`: what fails may be well again at any
    /// moment, as in a failover of the database.
    pub(crate) fn reconnection(&self, failures: u32, outage: bool) -> Duration {
        let longest = if outage {
            self.next_look().min(self.retry_interval)
        } else {
            self.retry_interval
        };
        doubled(Self::FIRST_RECONNECTION, failures).min(longest)
    }

    /// How long it takes at most until somebody looks for a server that may be well again at any moment.
    pub(crate) fn next_look(&self) -> Duration {
        Self::SHORTEST_OUTAGE.max(self.lease / 4)
    }

    /// How long an address of a name is silent before the next one is called too.
    pub(crate) fn next_address(&self) -> Duration {
        (self.lease / 4).clamp(Self::FIRST_RECONNECTION, Self::SHORTEST_OUTAGE)
    }

    /// The delay, give or take a quarter, after a driver has failed so often in a row.
    pub(crate) fn restart(&self, failures: u32) -> Duration {
        doubled(Self::FIRST_RESTART, failures).min(Self::LONGEST_RESTART)
    }

    /// How often a session that has nothing to lose but itself is used.
    pub(crate) fn idle_heartbeat_interval(&self) -> Duration {
        self.retry_interval * 2
    }

    /// How often the clock is looked at whatever is due, for the timers stand still while the machine is suspended.
    pub(crate) fn tick(&self, leads: bool) -> Duration {
        if leads {
            Self::LONGEST_TICK.min(self.lease / 20)
        } else {
            Self::LONGEST_TICK
        }
    }

    /// How long a session that neither leads nor is successor may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.retry_interval * 3
    }

    /// A query that has not been answered for so long ends the session.
    pub(crate) fn query_limit(&self) -> Duration {
        self.lease.max(Duration::from_secs(1))
    }

    /// How long a query of the session waits for a lock. Where one slice of each kind that writes, five, comes upon a
    /// row that somebody has locked, a leader is still answered before it gives up, at 0.75 L: each ends within L/20 and
    /// this, and the last answer is L/8 old.
    pub(crate) fn lock_limit(&self) -> Duration {
        (self.lease * 7 / 100).min(Self::LONGEST_LOCK_WAIT)
    }

    /// NOTIFY waits for a lock of the whole server; so long at most.
    pub(crate) fn announce_limit(&self) -> Duration {
        self.probe_interval(self.lease)
            .clamp(Self::SHORTEST_ANNOUNCE, Self::LONGEST_ANNOUNCE)
    }

    /// How long what was read of an election is believed.
    pub(crate) fn belief(&self) -> Duration {
        self.patience()
    }

    /// What is read once more, the same, is believed anew when so little of that is left.
    pub(crate) fn stale_belief(&self) -> Duration {
        self.belief() / 2
    }

    /// How often the other hosts are looked at while several accept writes.
    pub(crate) fn contested_look_interval(&self) -> Duration {
        self.lease / 2
    }

    /// How long a host that accepted writes, and of which nothing can be found out, is taken to lead everything.
    pub(crate) fn unknown_rival(&self) -> Duration {
        self.retry_interval.max(self.lease)
    }

    /// How long one at which nobody listens any more is: its sessions are over, and their work is within that.
    pub(crate) fn refusing_rival(&self) -> Duration {
        self.lease
    }

    /// How long a look at the hosts waits for the rest of them once the first has answered.
    pub(crate) fn look_limit(&self) -> Duration {
        self.lease / 4
    }

    /// How long it waits at most, while the work of a term may wait for it.
    pub(crate) fn round_limit(&self) -> Duration {
        self.lease / 2
    }

    /// A driver that has lived so long has got over its last failure.
    pub(crate) fn recovered(&self) -> Duration {
        self.retry_interval * 4
    }

    /// That of the work of a term, which lasts as long as the session that it began on.
    pub(crate) fn leash(&self) -> Leash {
        Leash::until(Instant::NEVER, self.dropped - self.deposed)
            .aborting_after(self.aborted - self.deposed)
    }

    /// From the drop of the work on: when the last words of a process that is to abort are written.
    pub(crate) fn last_words(&self) -> Duration {
        (self.aborted - self.dropped) * 9 / 10
    }

    /// How long the writing of the last words is waited for.
    pub(crate) fn last_words_limit(&self) -> Duration {
        self.lease / 1000
    }

    /// How often the clock is looked at for work that is to stop, and for a machine that wakes in another's term.
    pub(crate) fn watch_tick(&self) -> Duration {
        (self.lease / 20).min(Self::LONGEST_WATCH_TICK)
    }
}

/// So long at first, and twice as long with each time more.
fn doubled(first: Duration, times: u32) -> Duration {
    first * 2_u32.saturating_pow(times.saturating_sub(1).min(16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);

    fn timings() -> Timings {
        Timings::new(
            LEASE,
            Timings::DEFAULT_RETRY_INTERVAL,
            Timings::DEFAULT_GRACE,
        )
        .unwrap()
    }

    fn refused(change: impl FnOnce(&mut Timings)) -> Incoherent {
        let mut timings = timings();
        change(&mut timings);
        timings.check().unwrap_err()
    }

    #[test]
    fn follow_the_table() {
        let timings = timings();
        assert_eq!(timings.heartbeat_interval, Duration::from_millis(125));
        assert_eq!(timings.deposed, Duration::from_millis(750));
        assert_eq!(timings.dropped, Duration::from_millis(850));
        assert_eq!(timings.aborted, Duration::from_millis(950));
        assert_eq!(timings.silence_limit, Duration::from_millis(1200));
        assert_eq!(timings.irrevocable(LEASE), Duration::from_millis(800));
        assert_eq!(timings.eviction(LEASE), LEASE);
        assert_eq!(timings.probe_interval(LEASE), Duration::from_millis(50));
    }

    #[test]
    fn a_server_that_may_be_back_is_looked_for_without_the_retry_interval() {
        let reconnections = |lease: u64, outage| -> Vec<u128> {
            let lease = Duration::from_millis(lease);
            let (retry, grace) = (Timings::DEFAULT_RETRY_INTERVAL, Timings::DEFAULT_GRACE);
            let timings = Timings::new(lease, retry, grace).unwrap();
            let bounds = (0..10).map(|failures| timings.reconnection(failures, outage).as_millis());
            bounds.collect()
        };
        let soon = [50, 50, 100, 200, 250, 250, 250, 250, 250, 250];
        assert_eq!(reconnections(1_000, true), soon);
        assert_eq!(reconnections(100, true), soon);
        let quarter = [50, 50, 100, 200, 400, 750, 750, 750, 750, 750];
        assert_eq!(reconnections(3_000, true), quarter);
        let late = [50, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
        assert_eq!(reconnections(1_000, false), late);
        // Never later than what is not expected to be well.
        assert_eq!(reconnections(60_000, true), late);
    }

    #[test]
    fn every_lease_allowed_is_coherent() {
        for millis in [100, 101, 333, 1_000, 59_999, 3_600_000] {
            let lease = Duration::from_millis(millis);
            assert!(
                Timings::new(lease, Timings::DAY, Duration::ZERO).is_ok(),
                "{millis} ms"
            );
        }
    }

    #[test]
    fn a_lease_too_short_too_long_or_too_fine_is_refused() {
        for lease in [
            Duration::from_millis(99),
            Duration::from_millis(3_600_001),
            Duration::from_micros(1_000_500),
        ] {
            let refusal = Timings::new(lease, Timings::DAY, Duration::ZERO);
            assert_eq!(refusal, Err(Incoherent::Lease));
        }
    }

    #[test]
    fn too_few_heartbeats_are_refused() {
        let late = |t: &mut Timings| t.heartbeat_interval = t.deposed / 2;
        assert_eq!(refused(late), Incoherent::Heartbeats);
    }

    #[test]
    fn dropping_before_deposing_is_refused() {
        assert_eq!(refused(|t| t.dropped = t.deposed), Incoherent::Order);
    }

    #[test]
    fn aborting_before_dropping_is_refused() {
        assert_eq!(refused(|t| t.aborted = t.dropped), Incoherent::Order);
    }

    #[test]
    fn no_room_for_unequal_clocks_is_refused() {
        assert_eq!(
            refused(|t| t.aborted = t.lease * 96 / 100),
            Incoherent::Clocks
        );
    }

    #[test]
    fn silence_that_leaves_a_leader_time_to_be_heard_is_refused() {
        assert_eq!(
            refused(|t| t.deposed = t.lease * 77 / 100),
            Incoherent::Irrevocable
        );
    }

    #[test]
    fn a_server_that_ends_a_session_early_is_refused() {
        assert_eq!(
            refused(|t| t.silence_limit = t.lease),
            Incoherent::SilenceLimit
        );
    }

    #[test]
    fn retrying_more_often_than_the_successor_probes_is_refused() {
        let hasty = |t: &mut Timings| t.retry_interval = t.lease / 21;
        assert_eq!(refused(hasty), Incoherent::RetryInterval);
        assert_eq!(
            refused(|t| t.retry_interval = Timings::DAY * 2),
            Incoherent::RetryInterval
        );
    }

    #[test]
    fn an_endless_grace_is_refused() {
        assert_eq!(refused(|t| t.grace = Timings::DAY * 2), Incoherent::Grace);
    }
}
