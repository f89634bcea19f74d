//! What a server tells about itself, for the doctor: one function a group of facts, no judgement.

use std::time::{Duration, SystemTime};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::connection::row::{self, Parameter, column};
use crate::error::Error;

/// The session, as the server sees it.
pub(crate) struct SessionFacts {
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

pub(crate) async fn seen(client: &Client) -> Result<SessionFacts, Error> {
    let row = one(
        client,
        "SELECT current_setting('server_version') AS server, session_user::text AS role, s.ssl, s.version, s.cipher,
                inet_client_addr() IS NULL AS unix_socket,
                coalesce(inet_client_addr() << '127.0.0.0/8' OR host(inet_client_addr()) = '::1', false) AS loopback,
                current_setting('track_activities')::boolean AS track_activities,
                current_setting('log_statement') AS log_statement,
                current_setting('log_min_duration_statement') AS log_min_duration_statement,
                CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until
         FROM (SELECT) AS me
         LEFT JOIN pg_stat_ssl AS s ON s.pid = pg_backend_pid()
         LEFT JOIN pg_roles AS r ON r.rolname = session_user",
        &[],
    )
    .await?;
    let encrypted = column::<Option<bool>>(&row, "ssl")?.unwrap_or(false);
    let (protocol, cipher): (Option<String>, Option<String>) =
        (column(&row, "version")?, column(&row, "cipher")?);
    Ok(SessionFacts {
        version: column(&row, "server")?,
        user: column(&row, "role")?,
        tls: encrypted.then(|| (protocol.unwrap_or_default(), cipher.unwrap_or_default())),
        unix_socket: column(&row, "unix_socket")?,
        loopback: column(&row, "loopback")?,
        track_activities: column(&row, "track_activities")?,
        log_statement: column(&row, "log_statement")?,
        log_min_duration_statement: column(&row, "log_min_duration_statement")?,
        valid_until: column(&row, "valid_until")?,
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
    "text_of",
    "join_elections",
    "leave_elections",
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
        "SELECT o.rolname::text AS owner,
                ARRAY(SELECT DISTINCT p.proname::text FROM pg_proc AS p
                      WHERE p.pronamespace = n.oid AND p.proname = ANY ($1)
                        AND NOT has_function_privilege(p.oid, 'EXECUTE')
                      ORDER BY 1) AS missing,
                ARRAY(SELECT c.name FROM unnest($1) AS c (name)
                      WHERE n.oid IS NOT NULL AND NOT EXISTS (
                          SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND p.proname = c.name)
                      ORDER BY 1) AS absent,
                has_database_privilege(current_database(), 'CREATE') AS may_create,
                me.rolsuper AS superuser,
                pg_has_role('pg_read_all_stats', 'USAGE') AS role_sees,
                coalesce(pg_has_role(o.oid, 'pg_read_all_stats', 'USAGE'), false) AS owner_sees,
                pg_has_role('pg_signal_backend', 'USAGE') AS role_signals,
                coalesce(pg_has_role(o.oid, 'pg_signal_backend', 'USAGE'), false) AS owner_signals
         FROM pg_roles AS me
         LEFT JOIN pg_namespace AS n ON n.nspname = 'pgleader'
         LEFT JOIN pg_roles AS o ON o.oid = n.nspowner
         WHERE me.rolname = current_user",
        &[(&CALLED.as_slice(), Type::TEXT_ARRAY)],
    )
    .await?;
    Ok(Rights {
        owner: column(&row, "owner")?,
        missing: column(&row, "missing")?,
        absent: column(&row, "absent")?,
        may_create: column(&row, "may_create")?,
        superuser: column(&row, "superuser")?,
        role_sees: column(&row, "role_sees")?,
        owner_sees: column(&row, "owner_sees")?,
        role_signals: column(&row, "role_signals")?,
        owner_signals: column(&row, "owner_signals")?,
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
    pub(crate) locks: LockTable,
}

/// How many locks the server's table has room for, and what they are taken for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockTable {
    pub(crate) max_locks_per_transaction: i64,
    /// The sessions and prepared transactions that may each take so many.
    pub(crate) sharers: i64,
    /// Those of them, and the server's own processes, for which the table has room.
    pub(crate) owners: i64,
    pub(crate) used: i64,
    /// Of those, by elections and fenced transactions.
    pub(crate) of_elections: i64,
    /// Elections of this database; `None` where this role may not look.
    pub(crate) elections: Option<i64>,
}

pub(crate) async fn rooms(client: &Client) -> Result<Rooms, Error> {
    let row = one(
        client,
        "SELECT current_setting('max_connections')::bigint
                    - current_setting('superuser_reserved_connections')::bigint
                    - coalesce(current_setting('reserved_connections', true)::bigint, 0) AS connections_limit,
                a.connections,
                r.rolconnlimit::bigint AS of_role_limit, a.of_role,
                d.datconnlimit::bigint AS of_database_limit, a.of_database
         FROM (SELECT -- Standbys have places of their own (max_wal_senders), but not in their role's limit.
                      count(*) FILTER (WHERE s.datid <> 0 AND w.pid IS NULL) AS connections,
                      count(*) FILTER (WHERE s.datid = d.oid) AS of_database,
                      count(*) FILTER (WHERE s.usesysid = r.oid AND (s.datid <> 0 OR w.pid IS NOT NULL)) AS of_role
               FROM pg_database AS d, pg_roles AS r,
                    pg_stat_get_activity(NULL) AS s LEFT JOIN pg_stat_get_wal_senders() AS w ON w.pid = s.pid
               WHERE d.datname = current_database() AND r.rolname = session_user) AS a,
              pg_database AS d, pg_roles AS r
         WHERE d.datname = current_database() AND r.rolname = session_user",
        &[],
    )
    .await?;
    let room = |of: &str| -> Result<Room, Error> {
        let (limit, used) = (column(&row, &*format!("{of}_limit"))?, column(&row, of)?);
        Ok(Room { limit, used })
    };
    // -1: no limit.
    let limited = |room: Room| (room.limit >= 0).then_some(room);
    Ok(Rooms {
        connections: room("connections")?,
        of_role: limited(room("of_role")?),
        of_database: limited(room("of_database")?),
        locks: lock_table(client).await?,
    })
}

async fn lock_table(client: &Client) -> Result<LockTable, Error> {
    let row = one(
        client,
        "SELECT current_setting('max_locks_per_transaction')::bigint AS each,
                c.max + p.max AS sharers,
                -- Since 18 workers of autovacuum have slots.
                c.max + p.max + 1 + current_setting('max_worker_processes')::bigint
                    + current_setting('max_wal_senders')::bigint
                    + coalesce(current_setting('autovacuum_worker_slots', true),
                               current_setting('autovacuum_max_workers'))::bigint AS owners,
                (SELECT count(*) FROM pg_locks WHERE NOT fastpath) AS used,
                (SELECT count(*) FROM pg_locks AS l
                 WHERE l.locktype = 'advisory' AND l.objsubid = 2
                   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                   -- Not by name: this role may have no right to the schema.
                   AND l.classid IN (
                       SELECT k.oid FROM pg_class AS k JOIN pg_namespace AS n ON n.oid = k.relnamespace
                       WHERE n.nspname = 'pgleader' AND k.relname IN ('election', 'candidate', 'term'))) AS of_elections
         FROM (SELECT current_setting('max_connections')::bigint AS max) AS c,
              (SELECT current_setting('max_prepared_transactions')::bigint AS max) AS p",
        &[],
    )
    .await?;
    Ok(LockTable {
        max_locks_per_transaction: column(&row, "each")?,
        sharers: column(&row, "sharers")?,
        owners: column(&row, "owners")?,
        used: column(&row, "used")?,
        of_elections: column(&row, "of_elections")?,
        elections: elections(client).await?,
    })
}

/// How many elections there are in this database. `None` where this role may not look.
async fn elections(client: &Client) -> Result<Option<i64>, Error> {
    if !may_look(client, "pgleader.status").await? {
        return Ok(None);
    }
    let row = one(
        client,
        "SELECT count(*) AS elections FROM pgleader.status",
        &[],
    )
    .await?;
    Ok(Some(column(&row, "elections")?))
}

/// Whether a view is there and this role may read it.
async fn may_look(client: &Client, view: &str) -> Result<bool, Error> {
    // By its oid: who has no right to the schema may not name it.
    let may = "SELECT coalesce(bool_or(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), \
                      false) AS may
               FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname || '.' || c.relname = $1";
    column(&one(client, may, &[(&view, Type::TEXT)]).await?, 0)
}

/// Somebody who holds a lock of an election and takes no part in it.
#[derive(Debug)]
pub(crate) struct InTheWay {
    pub(crate) election: String,
    pub(crate) lock: String,
    pub(crate) who: String,
}

/// `None` where this role may not look.
pub(crate) async fn strangers(client: &Client) -> Result<Option<Vec<InTheWay>>, Error> {
    if !may_look(client, "pgleader.strangers").await? {
        return Ok(None);
    }
    let asked = "SELECT name, lock, who FROM pgleader.strangers";
    let rows = client.query_typed(asked, &[]).await;
    let rows = rows.map_err(|error| Error::session("examining the server", error))?;
    let strangers = rows.iter().map(|row| {
        Ok(InTheWay {
            election: column(row, "name")?,
            lock: column(row, "lock")?,
            who: column(row, "who")?,
        })
    });
    strangers.collect::<Result<_, Error>>().map(Some)
}

/// How full the server's queue of notifications is, between 0 and 1.
pub(crate) async fn queue_usage(client: &Client) -> Result<f64, Error> {
    column(
        &one(client, "SELECT pg_notification_queue_usage()", &[]).await?,
        0,
    )
}

/// Who replicates from this server.
pub(crate) struct Standbys {
    /// `synchronous_standby_names`, empty where commits wait for nobody.
    pub(crate) awaited: String,
    pub(crate) connected: i64,
    /// Those that commits wait for. `None` where this role may not see it.
    pub(crate) synchronous: Option<i64>,
    /// The slots of standbys that are not connected now.
    pub(crate) gone: Vec<String>,
}

pub(crate) async fn standbys(client: &Client) -> Result<Standbys, Error> {
    let row = one(
        client,
        // Whoever replicates of a database is no standby, and a slot of a moment is a copy's that is being made.
        "SELECT current_setting('synchronous_standby_names') AS awaited, count(*) AS connected,
                CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN count(*) FILTER (WHERE w.sync_state IN ('sync', 'quorum')) END AS synchronous,
                ARRAY(SELECT s.slot_name::text FROM pg_replication_slots AS s
                      WHERE s.slot_type = 'physical' AND NOT s.active AND NOT s.temporary ORDER BY 1) AS gone
         FROM pg_stat_get_wal_senders() AS w JOIN pg_stat_get_activity(w.pid) AS a ON coalesce(a.datid, 0) = 0",
        &[],
    )
    .await?;
    Ok(Standbys {
        awaited: column(&row, "awaited")?,
        connected: column(&row, "connected")?,
        synchronous: column(&row, "synchronous")?,
        gone: column(&row, "gone")?,
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
        "SELECT pg_stat_get_db_sessions_killed(oid) AS killed, pg_stat_get_db_sessions_fatal(oid) AS fatal
         FROM pg_database WHERE datname = current_database()",
        &[],
    )
    .await?;
    Ok((column(&row, "killed")?, column(&row, "fatal")?))
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
    row::one(rows.map_err(|error| Error::session("examining the server", error))?)
}

#[cfg(test)]
mod tests {
    use super::CALLED;

    #[test]
    fn every_function_that_a_candidate_calls_is_looked_at() {
        let statements = concat!(
            include_str!("../statements/announce.rs"),
            include_str!("../statements/autopsy.rs"),
            include_str!("../statements/campaign.rs"),
            include_str!("../statements/ending.rs"),
            include_str!("../statements/eviction.rs"),
            include_str!("../statements/fenced.rs"),
            include_str!("../statements/heartbeat.rs"),
            include_str!("../statements/join.rs"),
            include_str!("../statements/leave.rs"),
            include_str!("../statements/office.rs"),
            include_str!("../statements/read.rs"),
        );
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
