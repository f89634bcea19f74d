//! Head room: a candidate that cannot reconnect cannot vacate its term, and nobody can join.

use super::{Finding, Severity};
use crate::session::facts::{Room, Rooms};

pub(super) fn all(rooms: &Rooms) -> Vec<Finding> {
    let own = [
        (
            "the role's own limit",
            rooms.of_role,
            "ALTER ROLE … CONNECTION LIMIT",
        ),
        (
            "the database's own limit",
            rooms.of_database,
            "ALTER DATABASE … CONNECTION LIMIT",
        ),
    ];
    let mut findings = vec![connections(
        "max_connections",
        rooms.connections,
        "max_connections",
    )];
    for (limit, room, setting) in own {
        findings.extend(room.map(|room| connections(limit, room, setting)));
    }
    findings.push(locks(rooms.locks));
    findings
}

/// Each process of a candidate takes one, and a second for a moment when it reconnects.
fn connections(limit: &str, room: Room, setting: &str) -> Finding {
    let free = room.limit - room.used;
    let what = format!("{free} of {} connections are free ({limit})", room.limit);
    let severity = match free {
        ..2 => Severity::Problem,
        _ if free < 5 || free * 10 < room.limit => Severity::Warning,
        _ => Severity::Fine,
    };
    let finding = Finding::new("connections", severity, what);
    if severity == Severity::Fine {
        return finding;
    }
    finding.remedy(format!(
        "end sessions that nobody needs, lower the sizes of connection pools, or raise {setting}"
    ))
}

fn locks(room: Room) -> Finding {
    const CHECK: &str = "lock table";
    let what = format!(
        "{} of about {} locks are taken (max_locks_per_transaction)",
        room.used, room.limit
    );
    if room.used * 2 < room.limit {
        return Finding::fine(CHECK, what);
    }
    Finding::warning(CHECK, what).remedy(
        "raise max_locks_per_transaction: each election takes two locks, each transaction with many tables many",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_free_connections_are_a_warning_and_hardly_any_a_problem() {
        for (limit, used, severity) in [
            (100, 1, Severity::Fine),
            (100, 90, Severity::Fine),
            (100, 91, Severity::Warning),
            (20, 16, Severity::Warning),
            (100, 99, Severity::Problem),
        ] {
            let room = Room { limit, used };
            assert_eq!(connections("", room, "").severity, severity, "{room:?}");
        }
    }

    #[test]
    fn a_half_full_lock_table_is_a_warning() {
        let of = |used| locks(Room { limit: 6400, used }).severity;
        assert_eq!((of(3199), of(3200)), (Severity::Fine, Severity::Warning));
    }
}
