//! What a host is: its server, its role, its timeline, and what is led there.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::row::{Parameter, column, one};
use crate::engine::{Led, Server, Sight};
use crate::error::{Error, Kind};

const ROLE: &str = "
    SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
           (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started";

const SYSTEM: &str = "SELECT c.system_identifier FROM pg_control_system() AS c";

const TIMELINE: &str = "
    SELECT CASE WHEN NOT pg_is_in_recovery()
                THEN ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::int8 END";

/// A primary may not have written one since its promotion.
const CHECKPOINT: &str = "SELECT c.timeline_id::int8 FROM pg_control_checkpoint() AS c";

/// Of the elections asked for, by name: ids may differ where timelines have parted.
const HELD: &str = "
    SELECT e.name
    FROM pgleader.lock AS l
    LEFT JOIN pgleader.read_elections($1) AS e ON e.election = l.election_id
    WHERE l.kind = 'pgleader.election'::regclass AND l.granted";

/// Why no session can be had there, where it accepts no writes.
pub(super) fn failure(sight: &Sight) -> Option<Error> {
    match (sight.standby, sight.read_only) {
        (true, _) => Some(Error::new(Kind::Standby)),
        (_, true) => Some(Error::new(Kind::ReadOnly)),
        _ => None,
    }
}

/// Whether this says that there is nothing to ask: no schema, no such relation or function, no right to use it, or a
/// platform that does not tell.
/// Any other failure says nothing of the server.
fn is_absent(code: Option<&SqlState>) -> bool {
    let absent = [
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::FEATURE_NOT_SUPPORTED,
        // Aurora's, of the WAL.
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ];
    code.is_some_and(|code| absent.contains(code))
}

/// What a session tells of its server. One round trip.
pub(crate) async fn see(
    client: &Client,
    name: String,
    elections: &[String],
) -> Result<Sight, Error> {
    type Rows = Result<Vec<Row>, tokio_postgres::Error>;
    let failed = |error| Error::session("looking at the host", error);
    let absent = |error: &tokio_postgres::Error| is_absent(error.code());
    let told = |rows: Rows| -> Result<Option<i64>, Error> {
        match rows {
            Ok(rows) => Ok(rows
                .first()
                .map(|row| column(row, 0))
                .transpose()?
                .flatten()),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    };
    let asked: [Parameter<'_>; 1] = [(&elections, Type::TEXT_ARRAY)];
    // Each may fail alone.
    let (role, system, timeline, checkpoint, held) = tokio::join!(
        biased;
        client.query_typed(ROLE, &[]),
        client.query_typed(SYSTEM, &[]),
        client.query_typed(TIMELINE, &[]),
        client.query_typed(CHECKPOINT, &[]),
        client.query_typed(HELD, &asked),
    );
    let role = role.map_err(failed)?;
    let role = one(role)?;
    let standby = column(&role, "standby")?;
    let (system, timeline, checkpoint) = (told(system)?, told(timeline)?, told(checkpoint)?);
    let held = match held {
        Ok(rows) => {
            let names = rows.iter().map(|row| column::<Option<String>>(row, 0));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            Some(Led {
                any: elections.is_empty() && !rows.is_empty(),
                elections: names.into_iter().flatten().collect(),
            })
        }
        Err(error) if absent(&error) => Some(Led::default()),
        Err(_) => None,
    };
    Ok(Sight {
        name,
        server: Server {
            system,
            started: column(&role, "started")?,
        },
        standby,
        read_only: column(&role, "read_only")?,
        timeline: timeline.or(checkpoint.filter(|_| standby)),
        held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_there_is_nothing_counts_as_nothing() {
        for code in ["3F000", "42P01", "42883", "42501", "0A000", "55000"] {
            assert!(is_absent(Some(&SqlState::from_code(code))), "{code}");
        }
        for code in [
            "55P03", "57014", "53200", "57P01", "08006", "XX000", "25P02",
        ] {
            assert!(!is_absent(Some(&SqlState::from_code(code))), "{code}");
        }
        assert!(!is_absent(None));
    }
}
