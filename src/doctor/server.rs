//! Settings, the password, the standbys.

use std::time::{Duration, SystemTime};

use super::Finding;
use crate::session::facts::{Seen, Standbys};

/// A candidate's session sets what it depends on itself, when it connects; these it may not.
pub(super) fn settings(seen: &Seen) -> Vec<Finding> {
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

pub(super) fn password(seen: &Seen) -> Option<Finding> {
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
    } = standbys;
    let local = "pg-leader's own commits never wait for a standby, so no term hangs on one; what your own \
                 transactions wait for is theirs to say (synchronous_commit)";
    match (awaited.as_str(), *connected, *synchronous) {
        ("", 0, _) => Finding::note(CHECK, "none: nobody leads while this server is down"),
        ("", _, _) => Finding::note(
            CHECK,
            format!(
                "{connected}, asynchronous: a failover may lose the last terms on record and the last commits of \
                 their leaders. Terms go on increasing all the same, and the first term after it waits for the \
                 largest lease of any candidate"
            ),
        )
        .remedy("give all candidates of an election the same lease"),
        (_, _, Some(0)) => Finding::warning(
            CHECK,
            format!(
                "synchronous_standby_names is '{awaited}', and none of these is connected: commits that wait for \
                 them hang. Elections go on: {local}"
            ),
        )
        .remedy("bring the standby back, or change synchronous_standby_names"),
        (_, _, synchronous) => {
            let count = synchronous.map_or(String::new(), |count| format!("{count} synchronous "));
            Finding::note(CHECK, format!("{count}of {connected} connected ('{awaited}'). {local}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn found(awaited: &str, connected: i64, synchronous: Option<i64>) -> Finding {
        standbys(&Standbys {
            awaited: awaited.to_owned(),
            connected,
            synchronous,
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
}
