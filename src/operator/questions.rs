//! The statements of an operator: reading how elections stand, and asking for changes.

use std::time::{Duration, SystemTime};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::status::{
    Backend, CandidateStatus, ElectionStatus, LeverAnswer, PastRequest, PastTerm, Stranger,
};
use crate::connection::row::{Parameter, column, one};
use crate::connection::schema;
use crate::engine::WaitingFor;
use crate::error::{Error, Kind, advice};

const STATUS: &str = "
    SELECT s.name, s.state, s.term, s.address, s.leader_pid, s.since,
           (extract(epoch FROM s.lease) * 1000)::bigint AS lease_ms, s.successor, s.candidates, s.waiting_for,
           s.suspended_by::text AS suspended_by, s.transfer_to, s.excluded, s.strangers <> '{}' AS strange
    FROM pgleader.status AS s
    WHERE $1::text IS NULL OR s.name = $1
    ORDER BY s.name";

const FENCED: &str = "
    SELECT e.name, f.pid, f.gid, coalesce(a.usename, x.owner)::text AS usename, a.application_name,
           host(a.client_addr) AS client, coalesce(a.xact_start, x.prepared) AS xact_start
    FROM pgleader.read_elections($1) AS e
    JOIN pgleader.fenced AS f ON f.election_id = e.election
    LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
    LEFT JOIN pg_prepared_xacts AS x ON x.gid = f.gid
    ORDER BY xact_start";

const STRANGERS: &str = "
    SELECT s.name, s.lock, s.pid, s.gid, coalesce(a.usename, x.owner)::text AS usename, a.application_name,
           host(a.client_addr) AS client, coalesce(a.xact_start, x.prepared) AS xact_start
    FROM pgleader.strangers AS s
    LEFT JOIN pg_stat_activity AS a ON a.pid = s.pid
    LEFT JOIN pg_prepared_xacts AS x ON x.gid = s.gid
    WHERE s.name = ANY ($1)
    ORDER BY s.lock, s.pid, s.gid";

const CANDIDATES: &str = "
    SELECT address, priority, place, excluded, (extract(epoch FROM lease) * 1000)::bigint AS lease_ms, pid, joined_at
    FROM pgleader.candidates WHERE name = $1
    ORDER BY place = 'leader' DESC, place = 'successor' DESC, priority DESC, address";

const HISTORY: &str = "
    SELECT name, term, address, started_at, ready_at, ended_at, ending, fenced_ended, by::text AS by,
           request, reason
    FROM pgleader.history WHERE $1::text IS NULL OR name = $1
    ORDER BY started_at DESC, term DESC LIMIT $2";

const REQUESTS: &str = "
    SELECT name, request, address, term, by::text AS by, at, ended_by::text AS ended_by, ended_at,
           id, reason, ended_reason
    FROM pgleader.requests WHERE $1::text IS NULL OR name = $1
    ORDER BY id DESC LIMIT $2";

/// Every election, or one.
pub(crate) async fn status(
    client: &Client,
    role: &str,
    election: Option<&str>,
) -> Result<Vec<ElectionStatus>, Error> {
    let rows = ask(client, role, STATUS, &[(&election, Type::TEXT)]).await?;
    let mut all = rows
        .iter()
        .map(status_row)
        .collect::<Result<Vec<_>, Error>>()?;
    let mut strange = vec![];
    for (row, status) in rows.iter().zip(&all) {
        if column(row, "strange")? {
            strange.push(status.name.as_str());
        }
    }
    let fenced =
        |status: &&ElectionStatus| status.waiting_for == Some(WaitingFor::FencedTransactions);
    let held_up = all.iter().filter(fenced);
    let held_up: Vec<&str> = held_up.map(|status| status.name.as_str()).collect();
    let strangers = about(client, role, STRANGERS, &strange).await?;
    let fenced = about(client, role, FENCED, &held_up).await?;
    for (rows, of_strangers) in [(strangers, true), (fenced, false)] {
        for row in rows {
            let name: String = column(&row, "name")?;
            let backend = backend(&row)?;
            let Some(status) = all.iter_mut().find(|status| status.name == name) else {
                continue;
            };
            if of_strangers {
                let lock = column(&row, "lock")?;
                status.strangers.push(Stranger { lock, backend });
            } else {
                status.fenced.push(backend);
            }
        }
    }
    Ok(all)
}

/// Nothing is asked where it is about no election.
async fn about(
    client: &Client,
    role: &str,
    question: &str,
    names: &[&str],
) -> Result<Vec<Row>, Error> {
    if names.is_empty() {
        return Ok(vec![]);
    }
    ask(client, role, question, &[(&names, Type::TEXT_ARRAY)]).await
}

fn status_row(row: &Row) -> Result<ElectionStatus, Error> {
    Ok(ElectionStatus {
        name: column(row, "name")?,
        state: column(row, "state")?,
        term: column(row, "term")?,
        address: column(row, "address")?,
        leader_pid: column(row, "leader_pid")?,
        since: column(row, "since")?,
        lease: column::<Option<i64>>(row, "lease_ms")?
            .map(unsigned)
            .transpose()?
            .map(Duration::from_millis),
        successor: column(row, "successor")?,
        // A standby, where they are not known, is none of an operator's.
        candidates: unsigned(column::<Option<i64>>(row, "candidates")?.unwrap_or_default())?,
        waiting_for: column(row, "waiting_for")?,
        strangers: vec![],
        fenced: vec![],
        suspended_by: column(row, "suspended_by")?,
        transfer_to: column(row, "transfer_to")?,
        excluded: column(row, "excluded")?,
    })
}

fn backend(row: &Row) -> Result<Backend, Error> {
    Ok(Backend {
        pid: column(row, "pid")?,
        user: column(row, "usename")?,
        application: column(row, "application_name")?,
        client: column(row, "client")?,
        transaction_since: column(row, "xact_start")?,
        prepared: column(row, "gid")?,
    })
}

/// The newest terms of every election, or of one.
pub(crate) async fn history(
    client: &Client,
    role: &str,
    election: Option<&str>,
    limit: u32,
) -> Result<Vec<PastTerm>, Error> {
    let limit = i64::from(limit);
    let parameters: [Parameter<'_>; 2] = [(&election, Type::TEXT), (&limit, Type::INT8)];
    let rows = ask(client, role, HISTORY, &parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(PastTerm {
                election: column(row, "name")?,
                term: column(row, "term")?,
                address: column(row, "address")?,
                started_at: column(row, "started_at")?,
                ready_at: column(row, "ready_at")?,
                ended_at: column(row, "ended_at")?,
                ending: column(row, "ending")?,
                fenced_ended: unsigned(i64::from(column::<i32>(row, "fenced_ended")?))?,
                by: column(row, "by")?,
                request: column(row, "request")?,
                reason: column(row, "reason")?,
            })
        })
        .collect()
}

/// What operators asked of every election, or of one.
pub(crate) async fn requests(
    client: &Client,
    role: &str,
    election: Option<&str>,
    limit: u32,
) -> Result<Vec<PastRequest>, Error> {
    let limit = i64::from(limit);
    let parameters: [Parameter<'_>; 2] = [(&election, Type::TEXT), (&limit, Type::INT8)];
    let rows = ask(client, role, REQUESTS, &parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(PastRequest {
                id: column(row, "id")?,
                election: column(row, "name")?,
                request: column(row, "request")?,
                address: column(row, "address")?,
                term: column(row, "term")?,
                by: column(row, "by")?,
                at: column(row, "at")?,
                reason: column(row, "reason")?,
                ended_by: column(row, "ended_by")?,
                ended_reason: column(row, "ended_reason")?,
                ended_at: column(row, "ended_at")?,
            })
        })
        .collect()
}

/// Who takes part in an election.
pub(crate) async fn candidates(
    client: &Client,
    role: &str,
    election: &str,
) -> Result<Vec<CandidateStatus>, Error> {
    let rows = ask(client, role, CANDIDATES, &[(&election, Type::TEXT)]).await?;
    rows.iter()
        .map(|row| {
            Ok(CandidateStatus {
                address: column(row, "address")?,
                priority: column(row, "priority")?,
                place: column(row, "place")?,
                excluded: column(row, "excluded")?,
                lease: Duration::from_millis(unsigned(column(row, "lease_ms")?)?),
                pid: column(row, "pid")?,
                joined_at: column(row, "joined_at")?,
            })
        })
        .collect()
}

/// What a lever is told: an election, an address, a reason.
pub(super) type Words<'a> = &'a (dyn ToSql + Sync);

/// One of the levers that ask for something.
pub(crate) async fn lever(
    client: &Client,
    role: &str,
    statement: &str,
    words: &[Words<'_>],
) -> Result<LeverAnswer, Error> {
    let row = pull(client, role, statement, words).await?;
    Ok(LeverAnswer {
        request: column(&row, "id")?,
        term: column(&row, "term")?,
    })
}

/// One of the levers that take something back.
pub(crate) async fn take_back(
    client: &Client,
    role: &str,
    statement: &str,
    words: &[Words<'_>],
) -> Result<Option<i64>, Error> {
    column(&pull(client, role, statement, words).await?, 0)
}

async fn pull(
    client: &Client,
    role: &str,
    statement: &str,
    words: &[Words<'_>],
) -> Result<Row, Error> {
    let parameters: Vec<Parameter<'_>> = words.iter().map(|&word| (word, Type::TEXT)).collect();
    one(ask(client, role, statement, &parameters).await?)
}

async fn ask(
    client: &Client,
    role: &str,
    statement: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Error> {
    match client.query_typed(statement, parameters).await {
        Ok(rows) => Ok(rows),
        Err(error) => Err(refusal(client, role, error).await),
    }
}

/// In words, and with the remedy.
async fn refusal(client: &Client, role: &str, error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::session("asking as an operator", error);
    };
    let message = advice(db);
    match (db.code(), db.hint()) {
        // Something else may be missing as well: a candidate.
        (&SqlState::UNDEFINED_OBJECT, _) if db.table() == Some("election") => {
            Error::caused(Kind::NoElection(message), error)
        }
        (&SqlState::INSUFFICIENT_PRIVILEGE, None) => {
            let role = role.to_owned();
            Error::caused(Kind::NotGranted { message, role }, error)
        }
        (
            &SqlState::INVALID_SCHEMA_NAME
            | &SqlState::UNDEFINED_TABLE
            | &SqlState::UNDEFINED_COLUMN
            | &SqlState::UNDEFINED_FUNCTION,
            _,
        ) => match schema::check(client, role).await {
            Err(why) => why,
            Ok(()) => Error::caused(Kind::SchemaIncomplete(message), error),
        },
        (_, Some(_))
        | (&SqlState::CHARACTER_NOT_IN_REPERTOIRE | &SqlState::UNTRANSLATABLE_CHARACTER, _) => {
            Error::caused(Kind::Refused(message), error)
        }
        _ => Error::session("asking as an operator", error),
    }
}

fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::new(Kind::Unexpected(format!("the number {number}"))))
}

/// When a status was read by the server's clock.
pub(crate) async fn now(client: &Client) -> Result<SystemTime, Error> {
    let row = one(ask(client, "", "SELECT clock_timestamp()", &[]).await?)?;
    column(&row, 0)
}
