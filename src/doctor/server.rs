//! Settings, the password, the standbys, who is in the way, notifications.

use std::time::{Duration, SystemTime};

use super::finding::Finding;
use super::server_facts::{InTheWay, SessionFacts, Standbys};

/// A candidate's session sets what it depends on itself, when it connects; these it may not.
pub(super) fn settings(seen: &SessionFacts) -> Vec<Finding> {
    const CHECK: &str = "settings";
    let noisy = [
        (
            "log_statement",
            &seen.log_statement,
            seen.log_statement == "all",
        ),
        (
            "log_min_duration_statement",
            &seen.log_min_duration_statement,
            seen.log_min_duration_statement == "0",
        ),
    ];
    let noisy: Vec<Finding> = noisy
        .into_iter()
        .filter(|(.., noisy)| *noisy)
        .map(|(name, value, _)| {
            Finding::note(
                CHECK,
                format!(
                    "{name} is {value} for {}: the server logs every heartbeat, eight a lease",
                    seen.user
                ),
            )
            .remedy(format!(
                "ALTER ROLE {} SET {name} = … as a superuser",
                seen.user
            ))
        })
        .collect();
    if noisy.is_empty() {
        let what = "nothing that the role, the database or the server sets stands in the way";
        return vec![Finding::fine(CHECK, what)];
    }
    noisy
}

pub(super) fn password(seen: &SessionFacts) -> Option<Finding> {
    let until = seen.valid_until?;
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    let days = left.as_secs() / 86_400;
    let what = format!("the password of {} runs out in {days} days", seen.user);
    if left > Duration::from_secs(14 * 86_400) {
        return Some(Finding::fine("password", what));
    }
    let remedy = format!(
        "ALTER ROLE {} VALID UNTIL …: a session that is lost later cannot be renewed",
        seen.user
    );
    Some(Finding::warning("password", what).remedy(remedy))
}

pub(super) fn standbys(standbys: &Standbys) -> Finding {
    const CHECK: &str = "standbys";
    let Standbys {
        awaited,
        connected,
        synchronous,
        gone,
    } = standbys;
    let local = "pg-leader's own commits never wait for a standby, so no term hangs on one; what your own \
                 transactions wait for is theirs to say (synchronous_commit)";
    let away = match &gone[..] {
        [] => String::new(),
        gone => format!(
            "; {} more not connected now, by {} slot: {}",
            gone.len(),
            if gone.len() == 1 { "its" } else { "their" },
            gone.join(", ")
        ),
    };
    match (awaited.as_str(), *connected, *synchronous) {
        ("", 0, _) if gone.is_empty() => {
            Finding::note(CHECK, "none: nobody leads while this server is down")
        }
        ("", 0, _) => Finding::warning(
            CHECK,
            format!("none is connected: nobody leads while this server is down{away}"),
        )
        .remedy("bring the standbys back, or drop their slots: the server keeps its log for them"),
        ("", _, _) => Finding::note(
            CHECK,
            format!(
                "{connected}, asynchronous{away}: a failover may lose the last terms on record and the last commits of \
                 their leaders. Terms go on increasing all the same, and the first term after it waits for the \
                 largest lease of any candidate"
            ),
        )
        .remedy("give all candidates of an election the same lease"),
        (_, connected, Some(0)) => Finding::warning(
            CHECK,
            format!(
                "synchronous_standby_names is '{awaited}', and none of these is connected ({connected} others \
                 are{away}): commits that wait for them hang. Elections go on: {local}"
            ),
        )
        .remedy("bring the standby back, or change synchronous_standby_names"),
        (_, _, synchronous) => {
            let count = synchronous.map_or(String::new(), |count| format!("{count} synchronous "));
            let what = format!("{count}of {connected} connected ('{awaited}'){away}. {local}");
            Finding::note(CHECK, what)
        }
    }
}

/// Whoever holds a lock of an election and takes no part in it.
pub(super) fn strangers(strangers: Option<&[InTheWay]>) -> Finding {
    const CHECK: &str = "strangers";
    let Some(strangers) = strangers else {
        return Finding::note(
            CHECK,
            "not looked at: this role may not read pgleader.strangers",
        );
    };
    let all: Vec<String> = strangers
        .iter()
        .map(|one| format!("{} of {}: {}", one.lock, one.election, one.who))
        .collect();
    if all.is_empty() {
        return Finding::fine(
            CHECK,
            "nobody holds a lock of an election who takes no part in it",
        );
    }
    // Any number of locks may be taken.
    let more = all.len().saturating_sub(NAMED);
    let more = match more {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let what = format!("{}{more}", all[..all.len().min(NAMED)].join("; "));
    let bars = strangers.iter().any(|one| one.lock != "succession");
    let finding = if bars {
        Finding::problem(
            CHECK,
            format!("in the way, so that nobody can lead or no term can begin: {what}"),
        )
    } else {
        Finding::warning(
            CHECK,
            format!("in the way, so that nobody is next in line: {what}"),
        )
    };
    finding.remedy(
        "end them: SELECT pg_terminate_backend(…), where pgpool-II is between at their client; ROLLBACK PREPARED '…'. \
         Any role that can connect may take these locks",
    )
}

/// As many as can be read at a glance.
const NAMED: usize = 10;

/// From the half on nobody is notified: see `pgleader.notify_all`.
pub(super) fn notifications(queue_usage: f64) -> Finding {
    const CHECK: &str = "notifications";
    let what = format!(
        "the server's queue of notifications is {:.0} % full",
        queue_usage * 100.0
    );
    if queue_usage < 0.1 {
        return Finding::fine(CHECK, what);
    }
    Finding::warning(
        CHECK,
        format!(
            "{what}: from 50 % on pg-leader sends none. What operators ask for is heard with the next heartbeat or try, \
             and a term that ends in order is followed later"
        ),
    )
    .remedy(
        "find the session that listens in an old transaction, and end it: SELECT pid, usename, application_name, \
         xact_start FROM pg_stat_activity ORDER BY xact_start",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn found(awaited: &str, connected: i64, synchronous: Option<i64>) -> Finding {
        with_slots(awaited, connected, synchronous, &[])
    }

    fn with_slots(
        awaited: &str,
        connected: i64,
        synchronous: Option<i64>,
        gone: &[&str],
    ) -> Finding {
        standbys(&Standbys {
            awaited: awaited.to_owned(),
            connected,
            synchronous,
            gone: gone.iter().map(|&slot| slot.to_owned()).collect(),
        })
    }

    #[test]
    fn a_synchronous_standby_that_is_gone_is_a_warning() {
        assert_eq!(found("ghost", 0, Some(0)).severity, Severity::Warning);
        assert_eq!(found("a", 1, Some(1)).severity, Severity::Note);
        assert_eq!(found("a", 1, None).severity, Severity::Note);
        assert!(found("", 2, Some(0)).what.contains("2, asynchronous"));
        assert!(found("", 0, Some(0)).what.contains("none"));
    }

    #[test]
    fn standbys_that_are_not_connected_are_counted_by_their_slots() {
        let alone = with_slots("", 0, None, &["a"]);
        assert_eq!(alone.severity, Severity::Warning);
        assert!(
            alone
                .what
                .contains("1 more not connected now, by its slot: a")
        );
        for connected in [
            with_slots("", 1, None, &["a", "b"]),
            with_slots("s", 1, Some(1), &["a", "b"]),
        ] {
            assert_eq!(connected.severity, Severity::Note);
            let words = "2 more not connected now, by their slot: a, b";
            assert!(connected.what.contains(words), "{}", connected.what);
        }
    }

    #[test]
    fn strangers_are_named_and_weigh_by_what_they_hold() {
        let of = |locks: &[&str]| {
            let all: Vec<InTheWay> = locks
                .iter()
                .map(|&lock| InTheWay {
                    election: "e".to_owned(),
                    lock: lock.to_owned(),
                    who: "backend 7 of eve".to_owned(),
                })
                .collect();
            strangers(Some(&all))
        };
        assert_eq!(strangers(None).severity, Severity::Note);
        assert_eq!(of(&[]).severity, Severity::Fine);
        assert_eq!(of(&["succession"]).severity, Severity::Warning);
        for lock in ["leadership", "term"] {
            let found = of(&["succession", lock]);
            assert_eq!(found.severity, Severity::Problem, "{lock}");
            let words = format!("{lock} of e: backend 7 of eve");
            assert!(found.what.contains(&words), "{}", found.what);
        }
        let many = of(&["term"; 12]).what;
        assert!(many.ends_with("; and 2 more"), "{many}");
    }

    #[test]
    fn a_queue_that_fills_is_a_warning_long_before_nobody_is_notified() {
        for (usage, severity) in [
            (0.0, Severity::Fine),
            (0.1, Severity::Warning),
            (0.9, Severity::Warning),
        ] {
            assert_eq!(notifications(usage).severity, severity, "{usage}");
        }
    }
}
