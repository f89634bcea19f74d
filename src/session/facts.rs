//! What a server tells about itself, for the doctor: one function a group of facts, no judgement.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::statements::{Parameter, column};
use crate::error::{Error, Kind};

/// The session, as the server sees it.
pub(crate) struct Seen {
    pub(crate) version: String,
    pub(crate) user: String,
    /// The protocol's version and the cipher, under TLS.
    pub(crate) tls: Option<(String, String)>,
    pub(crate) unix_socket: bool,
    pub(crate) loopback: bool,
    pub(crate) track_activities: bool,
    pub(crate) log_statement: String,
    pub(crate) log_min_duration_statement: String,
    /// When the role's password runs out.
    pub(crate) valid_until: Option<SystemTime>,
}

pub(crate) async fn seen(client: &Client) -> Result<Seen, Error> {
    let row = one(
        client,
        "SELECT current_setting('server_version'), session_user::text, s.ssl, s.version, s.cipher,
                inet_client_addr() IS NULL,
                coalesce(inet_client_addr() << '127.0.0.0/8' OR host(inet_client_addr()) = '::1', false),
                current_setting('track_activities')::boolean, current_setting('log_statement'),
                current_setting('log_min_duration_statement'),
                CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END
         FROM (SELECT) AS me
         LEFT JOIN pg_stat_ssl AS s ON s.pid = pg_backend_pid()
         LEFT JOIN pg_roles AS r ON r.rolname = session_user",
        &[],
    )
    .await?;
    let encrypted = column::<Option<bool>>(&row, 2)?.unwrap_or(false);
    let (protocol, cipher): (Option<String>, Option<String>) = (column(&row, 3)?, column(&row, 4)?);
    Ok(Seen {
        version: column(&row, 0)?,
        user: column(&row, 1)?,
        tls: encrypted.then(|| (protocol.unwrap_or_default(), cipher.unwrap_or_default())),
        unix_socket: column(&row, 5)?,
        loopback: column(&row, 6)?,
        track_activities: column(&row, 7)?,
        log_statement: column(&row, 8)?,
        log_min_duration_statement: column(&row, 9)?,
        valid_until: column(&row, 10)?,
    })
}

/// What this role, and the owner of the schema, may do.
pub(crate) struct Rights {
    /// The schema's owner, where there is a schema.
    pub(crate) owner: Option<String>,
    /// Functions that a candidate calls and this role may not.
    pub(crate) missing: Vec<String>,
    /// Functions that a candidate calls and that are not there.
    pub(crate) absent: Vec<String>,
    pub(crate) may_create: bool,
    pub(crate) superuser: bool,
    pub(crate) role_sees: bool,
    pub(crate) owner_sees: bool,
    pub(crate) role_signals: bool,
    pub(crate) owner_signals: bool,
}

/// What a candidate calls.
const CALLED: [&str; 17] = [
    "join_election",
    "record_pgpool",
    "leave_election",
    "campaign",
    "take_office",
    "ready",
    "heartbeat",
    "vacate",
    "release",
    "announce",
    "read_elections",
    "backend_gone",
    "counters",
    "evict",
    "is_behind_pgpool",
    "fence",
    "end_fenced",
];

pub(crate) async fn rights(client: &Client) -> Result<Rights, Error> {
    let row = one(
        client,
        "SELECT o.rolname::text,
                ARRAY(SELECT DISTINCT p.proname::text FROM pg_proc AS p
                      WHERE p.pronamespace = n.oid AND p.proname = ANY ($1)
                        AND NOT has_function_privilege(p.oid, 'EXECUTE')
                      ORDER BY 1),
                ARRAY(SELECT c.name FROM unnest($1) AS c (name)
                      WHERE n.oid IS NOT NULL AND NOT EXISTS (
                          SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND p.proname = c.name)
                      ORDER BY 1),
                has_database_privilege(current_database(), 'CREATE'),
                me.rolsuper,
                pg_has_role('pg_read_all_stats', 'USAGE'),
                coalesce(pg_has_role(o.oid, 'pg_read_all_stats', 'USAGE'), false),
                pg_has_role('pg_signal_backend', 'USAGE'),
                coalesce(pg_has_role(o.oid, 'pg_signal_backend', 'USAGE'), false)
         FROM pg_roles AS me
         LEFT JOIN pg_namespace AS n ON n.nspname = 'pgleader'
         LEFT JOIN pg_roles AS o ON o.oid = n.nspowner
         WHERE me.rolname = current_user",
        &[(&CALLED.as_slice(), Type::TEXT_ARRAY)],
    )
    .await?;
    Ok(Rights {
        owner: column(&row, 0)?,
        missing: column(&row, 1)?,
        absent: column(&row, 2)?,
        may_create: column(&row, 3)?,
        superuser: column(&row, 4)?,
        role_sees: column(&row, 5)?,
        owner_sees: column(&row, 6)?,
        role_signals: column(&row, 7)?,
        owner_signals: column(&row, 8)?,
    })
}

/// How many of something there may be, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) limit: i64,
    pub(crate) used: i64,
}

/// The places that are counted. The role's and the database's own limits, where they have one.
pub(crate) struct Rooms {
    pub(crate) connections: Room,
    pub(crate) of_role: Option<Room>,
    pub(crate) of_database: Option<Room>,
    pub(crate) locks: Room,
}

pub(crate) async fn rooms(client: &Client) -> Result<Rooms, Error> {
    let row = one(
        client,
        "SELECT current_setting('max_connections')::bigint
                    - current_setting('superuser_reserved_connections')::bigint
                    - coalesce(current_setting('reserved_connections', true)::bigint, 0),
                a.connections,
                r.rolconnlimit::bigint, a.of_role, d.datconnlimit::bigint, a.of_database,
                current_setting('max_locks_per_transaction')::bigint
                    * (current_setting('max_connections')::bigint
                       + current_setting('max_prepared_transactions')::bigint),
                (SELECT count(*) FROM pg_locks WHERE NOT fastpath)
         FROM (SELECT count(*) AS connections, count(*) FILTER (WHERE datid = d.oid) AS of_database,
                      count(*) FILTER (WHERE usesysid = r.oid) AS of_role
               FROM pg_stat_get_activity(NULL), pg_database AS d, pg_roles AS r
               WHERE datid <> 0 AND d.datname = current_database() AND r.rolname = session_user) AS a,
              pg_database AS d, pg_roles AS r
         WHERE d.datname = current_database() AND r.rolname = session_user",
        &[],
    )
    .await?;
    let room = |index| -> Result<Room, Error> {
        let (limit, used) = (column(&row, index)?, column(&row, index + 1)?);
        Ok(Room { limit, used })
    };
    // -1: no limit.
    let limited = |room: Room| (room.limit >= 0).then_some(room);
    Ok(Rooms {
        connections: room(0)?,
        of_role: limited(room(2)?),
        of_database: limited(room(4)?),
        locks: room(6)?,
    })
}

/// Who replicates from this server.
pub(crate) struct Standbys {
    /// `synchronous_standby_names`, empty where commits wait for nobody.
    pub(crate) awaited: String,
    pub(crate) connected: i64,
    /// Those that commits wait for. `None` where this role may not see it.
    pub(crate) synchronous: Option<i64>,
}

pub(crate) async fn standbys(client: &Client) -> Result<Standbys, Error> {
    let row = one(
        client,
        "SELECT current_setting('synchronous_standby_names'), count(*),
                CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END
         FROM pg_stat_replication",
        &[],
    )
    .await?;
    Ok(Standbys {
        awaited: column(&row, 0)?,
        connected: column(&row, 1)?,
        synchronous: column(&row, 2)?,
    })
}

pub(crate) async fn now(client: &Client) -> Result<SystemTime, Error> {
    column(&one(client, "SELECT clock_timestamp()", &[]).await?, 0)
}

/// The smallest query, as a heartbeat that asks for nothing.
pub(crate) async fn round_trip(client: &Client) -> Result<(), Error> {
    one(client, "SELECT 1", &[]).await.map(|_| ())
}

/// The endings of sessions that the server counts: killed, and fatal.
pub(crate) async fn endings(client: &Client) -> Result<(i64, i64), Error> {
    let row = one(
        client,
        "SELECT pg_stat_get_db_sessions_killed(oid), pg_stat_get_db_sessions_fatal(oid)
         FROM pg_database WHERE datname = current_database()",
        &[],
    )
    .await?;
    Ok((column(&row, 0)?, column(&row, 1)?))
}

pub(crate) async fn terminate(client: &Client, pid: i32) -> Result<(), Error> {
    let ended = "SELECT pg_terminate_backend($1)";
    one(client, ended, &[(&pid, Type::INT4)]).await.map(|_| ())
}

/// The server ends this session once it has been silent for so long.
pub(crate) async fn end_when_silent(client: &Client, limit: Duration) -> Result<(), Error> {
    let setting = "SELECT set_config('idle_session_timeout', $1, false)";
    let limit = limit.as_millis().to_string();
    one(client, setting, &[(&limit, Type::TEXT)])
        .await
        .map(|_| ())
}

pub(crate) async fn is_gone(client: &Client, pid: i32) -> Result<bool, Error> {
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_get_activity($1))";
    column(&one(client, gone, &[(&pid, Type::INT4)]).await?, 0)
}

async fn one(client: &Client, statement: &str, parameters: &[Parameter<'_>]) -> Result<Row, Error> {
    let rows = client.query_typed(statement, parameters).await;
    rows.map_err(|error| Error::session("examining the server", error))?
        .into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::CALLED;

    #[test]
    fn every_function_that_a_candidate_calls_is_looked_at() {
        let statements = include_str!("statements.rs");
        let called = statements.split("pgleader.").skip(1);
        let names = called
            .filter_map(|text| text.split_once('(').map(|(name, _)| name))
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let mut count = 0;
        for name in names {
            assert!(CALLED.contains(&name), "{name} is not looked at");
            count += 1;
        }
        assert!(count > 10, "only {count} calls were found");
    }
}
