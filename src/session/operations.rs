//! The statements of an operator: reading how elections stand, and asking for changes.

use std::time::{Duration, SystemTime};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::statements::{Parameter, column, state};
use crate::error::{Error, Kind};
use crate::operator::{Backend, CandidateStatus, ElectionStatus, PastTerm, Request};
use crate::schema;

const STATUS: &str = "
    SELECT s.name, s.state, s.term, s.address, s.leader_pid, s.since,
           (extract(epoch FROM s.lease) * 1000)::bigint, s.successor, s.candidates, s.waiting_for,
           s.stranger_pid, a.usename::text, a.application_name, host(a.client_addr), a.xact_start,
           s.suspended_by::text, s.transfer_to, s.excluded
    FROM pgleader.status AS s LEFT JOIN pg_stat_activity AS a ON a.pid = s.stranger_pid
    WHERE $1::text IS NULL OR s.name = $1
    ORDER BY s.name";

const FENCED: &str = "
    SELECT e.name, f.pid, a.usename::text, a.application_name, host(a.client_addr), a.xact_start
    FROM pgleader.read_elections($1) AS e
    JOIN pgleader.fenced AS f ON f.election_id = e.election
    LEFT JOIN pg_stat_activity AS a ON a.pid = f.pid
    ORDER BY a.xact_start";

const CANDIDATES: &str = "
    SELECT address, priority, place, excluded, (extract(epoch FROM lease) * 1000)::bigint, pid, joined_at
    FROM pgleader.candidates WHERE name = $1
    ORDER BY place = 'leader' DESC, place = 'successor' DESC, priority DESC, address";

const HISTORY: &str = "
    SELECT name, term, address, started_at, ready_at, ended_at, ending, fenced_ended, by::text, request
    FROM pgleader.history WHERE $1::text IS NULL OR name = $1
    ORDER BY started_at DESC, term DESC LIMIT $2";

const REQUESTS: &str = "
    SELECT name, request, address, term, by::text, at, ended_by::text, ended_at
    FROM pgleader.requests WHERE $1::text IS NULL OR name = $1
    ORDER BY at DESC LIMIT $2";

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
    let held_up: Vec<&str> = all
        .iter()
        .filter(|status| status.waiting_for.as_deref() == Some("fenced transactions"))
        .map(|status| status.name.as_str())
        .collect();
    if !held_up.is_empty() {
        let rows = ask(client, role, FENCED, &[(&held_up, Type::TEXT_ARRAY)]).await?;
        for row in rows {
            let name: String = column(&row, 0)?;
            let backend = backend(&row, 1)?;
            if let Some(status) = all.iter_mut().find(|status| status.name == name) {
                status.fenced.push(backend);
            }
        }
    }
    Ok(all)
}

fn status_row(row: &Row) -> Result<ElectionStatus, Error> {
    let stranger = backend(row, 10)?;
    Ok(ElectionStatus {
        name: column(row, 0)?,
        state: state(column(row, 1)?)?,
        term: unsigned(column(row, 2)?)?,
        address: column(row, 3)?,
        leader_pid: column(row, 4)?,
        since: column(row, 5)?,
        lease: column::<Option<i64>>(row, 6)?
            .map(unsigned)
            .transpose()?
            .map(Duration::from_millis),
        successor: column(row, 7)?,
        candidates: unsigned(column(row, 8)?)?,
        waiting_for: column(row, 9)?,
        stranger: stranger.pid.is_some().then_some(stranger),
        fenced: vec![],
        suspended_by: column(row, 15)?,
        transfer_to: column(row, 16)?,
        excluded: column(row, 17)?,
    })
}

fn backend(row: &Row, first: usize) -> Result<Backend, Error> {
    Ok(Backend {
        pid: column(row, first)?,
        user: column(row, first + 1)?,
        application: column(row, first + 2)?,
        client: column(row, first + 3)?,
        transaction_since: column(row, first + 4)?,
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
                election: column(row, 0)?,
                term: unsigned(column(row, 1)?)?,
                address: column(row, 2)?,
                started_at: column(row, 3)?,
                ready_at: column(row, 4)?,
                ended_at: column(row, 5)?,
                ending: column(row, 6)?,
                fenced_ended: unsigned(i64::from(column::<i32>(row, 7)?))?,
                by: column(row, 8)?,
                request: column(row, 9)?,
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
) -> Result<Vec<Request>, Error> {
    let limit = i64::from(limit);
    let parameters: [Parameter<'_>; 2] = [(&election, Type::TEXT), (&limit, Type::INT8)];
    let rows = ask(client, role, REQUESTS, &parameters).await?;
    rows.iter()
        .map(|row| {
            Ok(Request {
                election: column(row, 0)?,
                request: column(row, 1)?,
                address: column(row, 2)?,
                term: unsigned(column(row, 3)?)?,
                by: column(row, 4)?,
                at: column(row, 5)?,
                ended_by: column(row, 6)?,
                ended_at: column(row, 7)?,
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
                address: column(row, 0)?,
                priority: column(row, 1)?,
                place: column(row, 2)?,
                excluded: column(row, 3)?,
                lease: Duration::from_millis(unsigned(column(row, 4)?)?),
                pid: column(row, 5)?,
                joined_at: column(row, 6)?,
            })
        })
        .collect()
}

/// One of the functions that answer with the term that ends.
pub(crate) async fn term_that_ends(
    client: &Client,
    role: &str,
    statement: &str,
    parameters: &[&str],
) -> Result<Option<u64>, Error> {
    let row = lever(client, role, statement, parameters).await?;
    column::<Option<i64>>(&row, 0)?.map(unsigned).transpose()
}

/// One of the functions that answer whether there was anything to take back.
pub(crate) async fn was_so(
    client: &Client,
    role: &str,
    statement: &str,
    parameters: &[&str],
) -> Result<bool, Error> {
    column(&lever(client, role, statement, parameters).await?, 0)
}

async fn lever(
    client: &Client,
    role: &str,
    statement: &str,
    parameters: &[&str],
) -> Result<Row, Error> {
    let parameters: Vec<Parameter<'_>> = parameters
        .iter()
        .map(|text| (text as &(dyn ToSql + Sync), Type::TEXT))
        .collect();
    let rows = ask(client, role, statement, &parameters).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))
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
    let message = match db.hint() {
        Some(hint) => format!("{}. {hint}", db.message()),
        None => db.message().to_owned(),
    };
    match (db.code(), db.hint()) {
        (&SqlState::UNDEFINED_OBJECT, _) if db.message().starts_with("there is no election") => {
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
        (_, Some(_)) => Error::caused(Kind::Refused(message), error),
        _ => Error::session("asking as an operator", error),
    }
}

fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::new(Kind::Unexpected(format!("the number {number}"))))
}

/// When a status was read by the server's clock.
pub(crate) async fn now(client: &Client) -> Result<SystemTime, Error> {
    let rows = ask(client, "", "SELECT clock_timestamp()", &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::new(Kind::Unexpected("no time".to_owned())))?;
    column(row, 0)
}
