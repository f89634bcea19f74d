//! Round trips against the lease, and the clocks.

use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Client;

use super::finding::Finding;
use super::server_facts as facts;
use crate::clock;
use crate::engine::Timings;
use crate::error::Error;

const ROUND_TRIPS: usize = 40;
const PAUSE: Duration = Duration::from_millis(25);

pub(super) async fn check(client: &Client, timings: &Timings) -> Result<Vec<Finding>, Error> {
    let mut took = Vec::with_capacity(ROUND_TRIPS);
    let mut late = Duration::ZERO;
    for _ in 0..ROUND_TRIPS {
        let slept = Instant::now();
        tokio::time::sleep(PAUSE).await;
        late = late.max(slept.elapsed().saturating_sub(PAUSE));
        let sent = Instant::now();
        facts::round_trip(client).await?;
        took.push(sent.elapsed());
    }
    took.sort();
    let (before, theirs, after) = (
        SystemTime::now(),
        facts::now(client).await?,
        SystemTime::now(),
    );
    Ok(vec![
        round_trips(took[took.len() / 2], took[took.len() - 1], timings.lease),
        lateness(late, timings.lease),
        clocks(before, theirs, after, clock::suspended()),
    ])
}

/// A leader is deposed after 0.75 leases without an answer; it asks every eighth of one.
fn round_trips(median: Duration, worst: Duration, lease: Duration) -> Finding {
    const CHECK: &str = "round trip";
    let what = format!(
        "{:.1} ms in the median, {:.1} ms at worst of {ROUND_TRIPS}, with a lease of {} ms",
        milliseconds(median),
        milliseconds(worst),
        lease.as_millis()
    );
    let advice = format!(
        "give a lease of at least {}, or find out what is slow",
        suggested(worst)
    );
    if worst * 2 > lease {
        Finding::problem(
            CHECK,
            format!("{what}: a leader would be deposed again and again"),
        )
        .remedy(advice)
    } else if worst * 8 > lease {
        Finding::warning(
            CHECK,
            format!("{what}: more than the time between two heartbeats"),
        )
        .remedy(advice)
    } else {
        Finding::fine(CHECK, what)
    }
}

/// A lease in which the worst round trip fits twenty times, rounded up.
fn suggested(worst: Duration) -> String {
    let lease = (worst * 20).max(Duration::from_millis(100));
    match lease.as_millis().div_ceil(100) * 100 {
        milliseconds if milliseconds < 1000 => format!("{milliseconds} ms"),
        milliseconds => format!("{} s", milliseconds.div_ceil(1000)),
    }
}

fn lateness(late: Duration, lease: Duration) -> Finding {
    const CHECK: &str = "this machine";
    let what = format!("a sleep ended {:.1} ms late at worst", milliseconds(late));
    if late * 8 > lease {
        return Finding::warning(
            CHECK,
            format!(
                "{what}: it has too much to do for a lease of {} ms",
                lease.as_millis()
            ),
        )
        .remedy("give a longer lease, or this process more of a processor");
    }
    Finding::fine(CHECK, what)
}

/// Nothing compares the time of day of two machines; people do, when they read the history.
fn clocks(
    before: SystemTime,
    theirs: SystemTime,
    after: SystemTime,
    suspended: Option<Duration>,
) -> Finding {
    const CHECK: &str = "clock";
    let counted = match suspended {
        Some(time) if time > Duration::from_secs(1) => format!(
            "deadlines count suspended time (this machine was suspended for {} s since it started)",
            time.as_secs()
        ),
        Some(_) => "deadlines count suspended time".to_owned(),
        None => {
            "on this system deadlines count suspended time if its monotonic clock does".to_owned()
        }
    };
    let ahead = theirs.duration_since(after).unwrap_or_default();
    let behind = before.duration_since(theirs).unwrap_or_default();
    let difference = ahead.max(behind);
    if difference < Duration::from_secs(1) {
        return Finding::fine(CHECK, counted);
    }
    let side = if ahead > behind { "ahead" } else { "behind" };
    Finding::note(
        CHECK,
        format!(
            "{counted}. The server's time of day is {} s {side}, and status and history are written by it; no \
             deadline is",
            difference.as_secs()
        ),
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    const LEASE: Duration = Duration::from_secs(1);

    #[test]
    fn round_trips_are_judged_by_the_lease() {
        for (worst, severity) in [
            (125, Severity::Fine),
            (126, Severity::Warning),
            (501, Severity::Problem),
        ] {
            let found = round_trips(Duration::ZERO, Duration::from_millis(worst), LEASE);
            assert_eq!(found.severity, severity, "{worst} ms");
        }
        assert_eq!(suggested(Duration::from_millis(12)), "300 ms");
        assert_eq!(suggested(Duration::from_millis(126)), "3 s");
    }

    #[test]
    fn a_machine_that_wakes_late_is_a_warning() {
        assert_eq!(lateness(LEASE / 8, LEASE).severity, Severity::Fine);
        assert_eq!(lateness(LEASE / 7, LEASE).severity, Severity::Warning);
    }

    #[test]
    fn a_different_time_of_day_is_a_note() {
        let here = SystemTime::now();
        let found = |theirs| clocks(here, theirs, here, Some(Duration::from_secs(7)));
        assert_eq!(found(here).severity, Severity::Fine);
        assert!(found(here).what.contains("for 7 s"));
        let ahead = found(here + Duration::from_secs(5));
        assert!(ahead.severity == Severity::Note && ahead.what.contains("5 s ahead"));
        assert!(
            found(here - Duration::from_secs(5))
                .what
                .contains("5 s behind")
        );
    }
}
