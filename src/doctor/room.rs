//! Head room: a candidate that cannot reconnect cannot vacate its term, and nobody can join.

use super::finding::{Finding, Severity};
use super::server_facts::{LockTable, Room, Rooms};

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

/// Of each sharer's part so much fits more than is guaranteed: the table's index has room for twice as many holders as
/// locks, and there is a tenth in reserve. Measured on 15 to 18, with nothing but advisory locks.
const FITS_PERCENT: i64 = 160;

/// Where it is full a candidate that finds no room does not lead, and no session of any application does what needs one
/// more lock.
fn locks(table: LockTable) -> Finding {
    const CHECK: &str = "lock table";
    let LockTable {
        max_locks_per_transaction: each,
        sharers,
        owners,
        used,
        of_elections,
        elections,
    } = table;
    let guaranteed = each * sharers;
    let fits = each * owners * FITS_PERCENT / 100;
    let mut what = format!(
        "{used} locks are taken, {guaranteed} are guaranteed and about {fits} fit (max_locks_per_transaction is {each})"
    );
    let mut needed = used;
    if let Some(elections) = elections {
        needed = (used - of_elections).max(0) + (elections * 2).max(of_elections);
        what = format!(
            "{what}; the {elections} elections of this database take {} when all are led and have a successor, and one \
             more for each fenced transaction; so {} more elections have room for sure",
            elections * 2,
            (guaranteed - needed).max(0) / 2
        );
    }
    let severity = match needed {
        _ if needed >= fits => Severity::Problem,
        _ if needed >= guaranteed || used * 2 >= guaranteed => Severity::Warning,
        _ => return Finding::fine(CHECK, what),
    };
    // Twice as many as are needed.
    let enough = ((needed * 2 + sharers - 1) / sharers.max(1)).max(each + 1);
    Finding::new(CHECK, severity, what).remedy(format!(
        "set max_locks_per_transaction to {enough} or more, on the standbys first, and restart; or spread the elections \
         over several servers. Each transaction with many tables takes many locks, too"
    ))
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

    /// PostgreSQL's own settings.
    fn table(used: i64, of_elections: i64, elections: Option<i64>) -> Finding {
        locks(LockTable {
            max_locks_per_transaction: 64,
            sharers: 100,
            owners: 122,
            used,
            of_elections,
            elections,
        })
    }

    #[test]
    fn a_half_full_lock_table_is_a_warning() {
        let of = |used| table(used, 0, None).severity;
        assert_eq!((of(3199), of(3200)), (Severity::Fine, Severity::Warning));
        assert_eq!(of(12_492), Severity::Problem);
    }

    /// Whether they are led now or not: after a failover of all processes nobody is, for a moment.
    #[test]
    fn the_lock_table_must_have_room_for_all_elections() {
        for (elections, severity) in [
            (3_149, Severity::Fine),
            (3_150, Severity::Warning),
            (6_195, Severity::Warning),
            (6_196, Severity::Problem),
        ] {
            let found = table(100, 0, Some(elections));
            assert_eq!(found.severity, severity, "{elections}: {}", found.what);
            // Those that are led already count once.
            let led = table(300, 200, Some(elections));
            assert_eq!(led.severity, severity, "{elections}: {}", led.what);
        }
        let fine = table(100, 0, Some(1_000)).what;
        for words in [
            "6400 are guaranteed",
            "12492 fit",
            "the 1000 elections",
            "take 2000",
            "2150 more elections",
        ] {
            assert!(fine.contains(words), "{fine}");
        }
        let full = table(100, 0, Some(5_000)).remedy.unwrap();
        assert!(full.contains("max_locks_per_transaction to 202"), "{full}");
    }

    /// More are fenced, or held by one session in several modes, than elections need.
    #[test]
    fn what_is_taken_counts_where_it_is_more_than_is_needed() {
        assert_eq!(table(6_400, 6_400, Some(10)).severity, Severity::Warning);
        assert_eq!(table(0, 5, Some(0)).severity, Severity::Fine);
    }
}
