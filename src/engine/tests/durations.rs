//! Every duration in numbers, and what chance makes of one.

use super::super::timings::Incoherent;
use super::*;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

fn timings(lease: Duration) -> Timings {
    let retry_interval = lease.max(Duration::from_secs(5));
    Timings::new(lease, retry_interval, Duration::from_secs(10)).unwrap()
}

#[test]
fn with_a_lease_of_a_second() {
    let timings = timings(LEASE);
    for (name, is, millis) in [
        ("slice", timings.slice(), 50),
        ("making way", timings.making_way(LEASE), 200),
        ("hold-off", timings.hold_off(), 100),
        ("moment", timings.moment(), 2),
        ("spread", timings.spread(), 50),
        ("turn at office", timings.turn_at_office(MS * 10), 90),
        ("turn at succession", timings.turn_at_succession(MS), 10),
        ("next eviction", timings.next_eviction(LEASE), 250),
        ("last word", timings.last_word(), 500),
        ("idle", timings.idle_heartbeat_interval(), 10_000),
        ("tick of a leader", timings.tick(true), 50),
        ("tick", timings.tick(false), 1000),
        ("patience", timings.patience(), 15_000),
        ("query limit", timings.query_limit(), 1000),
        ("lock limit", timings.lock_limit(), 70),
        ("announce limit", timings.announce_limit(), 50),
        ("belief", timings.belief(), 15_000),
        ("stale belief", timings.stale_belief(), 7500),
        ("contested look", timings.contested_look_interval(), 500),
        ("unknown rival", timings.unknown_rival(), 5000),
        ("refusing rival", timings.refusing_rival(), 1000),
        ("look limit", timings.look_limit(), 250),
        ("round limit", timings.round_limit(), 500),
        ("recovered", timings.recovered(), 20_000),
        ("last words", timings.last_words(), 90),
        ("last words limit", timings.last_words_limit(), 1),
        ("watch tick", timings.watch_tick(), 20),
    ] {
        assert_eq!(is, MS * millis, "{name}");
    }
    let mut leash = timings.leash();
    leash.lasts(Instant::from_nanos(0) + MS * 750);
    assert_eq!(leash.drop_at(), Instant::from_nanos(0) + MS * 850);
    assert_eq!(leash.abort_at(), Instant::from_nanos(0) + MS * 950);
}

/// Where the lease alone would make them too short or too long.
#[test]
fn with_the_shortest_and_the_longest_lease() {
    let (short, long) = (timings(MS * 100), timings(Duration::from_secs(3600)));
    for (name, of_short, of_long, millis) in [
        ("tick", short.tick(true), long.tick(true), (5, 1000)),
        (
            "query limit",
            short.query_limit(),
            long.query_limit(),
            (1000, 3_600_000),
        ),
        (
            "announce limit",
            short.announce_limit(),
            long.announce_limit(),
            (5, 100),
        ),
        ("watch tick", short.watch_tick(), long.watch_tick(), (5, 20)),
    ] {
        assert_eq!(
            (of_short, of_long),
            (MS * millis.0, MS * millis.1),
            "{name}"
        );
    }
}

#[test]
fn what_fails_again_and_again_is_tried_less_and_less_often() {
    let timings = timings(LEASE);
    let reconnection =
        [0, 1, 2, 3, 7, 8, 1000].map(|failures| timings.reconnection(failures, false));
    assert_eq!(
        reconnection,
        [50, 50, 100, 200, 3200, 5000, 5000].map(|millis| MS * millis)
    );
    let refusal = [0, 1, 2, 3, 7, 8, 1000].map(|refusals| timings.refusal(refusals));
    assert_eq!(refusal, reconnection);
    let restart = [0, 1, 2, 3, 6, 7, 1000].map(|failures| timings.restart(failures));
    assert_eq!(
        restart,
        [20, 20, 40, 80, 640, 1000, 1000].map(|millis| MS * millis)
    );
}

#[test]
fn fenced_transactions_are_looked_at_less_and_less_often() {
    let timings = timings(LEASE);
    let standing = [0, 16, 17, 160, 400, 10_000].map(|millis| MS * millis);
    let intervals = standing.map(|standing| timings.fenced_interval(standing));
    let micros = [2000, 2000, 2125, 20_000, 50_000, 50_000];
    assert_eq!(intervals, micros.map(Duration::from_micros));
}

fn checked(change: impl FnOnce(&mut Timings)) -> Result<(), Incoherent> {
    let mut timings = timings(MS * 1050);
    change(&mut timings);
    timings.check()
}

/// What is just allowed, and what is just refused.
#[test]
fn the_bounds_are_where_they_are_said_to_be() {
    let step = Duration::from_nanos(1);
    type Bound = (fn(&mut Timings, Duration), Duration, bool, Incoherent);
    let bounds: [Bound; 7] = [
        (
            |t, at| t.heartbeat_interval = at,
            timings(MS * 1050).deposed / 3,
            true,
            Incoherent::Heartbeats,
        ),
        (|t, at| t.aborted = at, MS * 1000, true, Incoherent::Clocks),
        (
            |t, at| {
                *t = timings(LEASE);
                t.silence_limit = at;
            },
            MS * 1050,
            false,
            Incoherent::SilenceLimit,
        ),
        (
            |t, at| t.deposed = at,
            MS * 800,
            true,
            Incoherent::Irrevocable,
        ),
        (
            |t, at| t.retry_interval = at,
            MS * 1050 / 20,
            false,
            Incoherent::RetryInterval,
        ),
        (
            |t, at| t.retry_interval = at,
            DAY,
            true,
            Incoherent::RetryInterval,
        ),
        (|t, at| t.grace = at, DAY, true, Incoherent::Grace),
    ];
    for (set, bound, from_above, refusal) in bounds {
        let beyond = if from_above {
            bound + step * 2
        } else {
            bound - step * 2
        };
        assert_eq!(checked(|t| set(t, bound)), Ok(()), "{refusal:?}");
        assert_eq!(checked(|t| set(t, beyond)), Err(refusal));
    }
    let none = checked(|t| t.heartbeat_interval = Duration::ZERO);
    assert_eq!(none, Err(Incoherent::Heartbeats));
    assert_eq!(checked(|t| t.dropped = t.aborted), Err(Incoherent::Order));
    assert_eq!(checked(|t| t.dropped = t.deposed), Err(Incoherent::Order));
}

#[test]
fn each_refusal_says_what_is_wrong() {
    for (refusal, about) in [
        (Incoherent::Lease, "100 ms and 1 hour"),
        (Incoherent::Heartbeats, "three heartbeats"),
        (Incoherent::Order, "in this order"),
        (Incoherent::Clocks, "work must be over within the lease"),
        (Incoherent::SilenceLimit, "must not end a session"),
        (Incoherent::Irrevocable, "silence must be watched"),
        (Incoherent::RetryInterval, "the retry interval"),
        (Incoherent::Grace, "the grace"),
    ] {
        let said = refusal.to_string();
        assert!(said.contains(about), "{said}");
    }
}

/// A seed that some run has printed brings the same again in a later build.
#[test]
fn chance_comes_from_the_seed_alone() {
    for (seed, expected) in [
        (1, [0, 641, 892, 69, 927, 995, 753, 551]),
        (
            0x9E37_79B9_7F4A_7C15,
            [951, 278, 926, 53, 766, 61, 529, 953],
        ),
    ] {
        let mut jitter = Jitter::new(seed);
        let drawn = expected.map(|_| jitter.up_to(MS * 1000));
        assert_eq!(drawn, expected.map(|millis| MS * millis));
    }
    let mut middle = Jitter::new(0);
    assert_eq!(middle.up_to(MS * 1000), MS * 500);
    assert_eq!(middle.around(MS * 1000), MS * 1000);
}

/// No part of the range is left out, and nothing is drawn beside it.
#[test]
fn what_is_drawn_is_spread_over_the_whole_range() {
    let mut jitter = Jitter::new(7);
    let mut tenths = [0_u32; 10];
    for _ in 0..1000 {
        let drawn = jitter.up_to(MS * 1000);
        tenths[usize::try_from(drawn.as_millis() / 100).unwrap()] += 1;
        let around = jitter.around(MS * 1000);
        assert!((MS * 750..MS * 1250).contains(&around), "{around:?}");
    }
    assert!(
        tenths.iter().all(|tenth| (50..200).contains(tenth)),
        "{tenths:?}"
    );
}

#[test]
fn an_instant_is_kept_in_nanoseconds_and_never_overflows() {
    let instant = Instant::from_nanos(7);
    assert_eq!(instant.as_nanos(), 7);
    assert_eq!((instant + MS).as_nanos(), 1_000_007);
    assert_eq!((instant + MS).since(instant), MS);
    assert_eq!(instant.since(instant + MS), Duration::ZERO);
    assert_eq!(Instant::NEVER + MS, Instant::NEVER);
    let mut later = instant;
    later += MS;
    assert_eq!(later, instant + MS);
}
