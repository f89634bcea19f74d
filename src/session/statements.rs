//! Every statement of a session, one function each: what it sends and what it makes of the answer.
//!
//! Each is one write that ends in a Sync. An answer that makes no sense is an error, and every error ends
//! the session: that frees its locks and leaves one way back.

use std::time::Duration;

use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::error::{Error, Kind};
use crate::protocol::{Counters, Ending, Held, Office, Try, Won};
use crate::standing::ElectionState;

/// A parameter and its type.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

async fn rows(
    client: &Client,
    statement: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Error> {
    client
        .query_typed(statement, parameters)
        .await
        .map_err(|error| Error::session(statement, error))
}

async fn value<T: for<'a> FromSql<'a>>(
    client: &Client,
    statement: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<T, Error> {
    let rows = rows(client, statement, parameters).await?;
    column(
        rows.first()
            .ok_or_else(|| unexpected(format!("{statement}: no row")))?,
        0,
    )
}

fn column<T: for<'a> FromSql<'a>>(row: &Row, index: usize) -> Result<T, Error> {
    row.try_get(index)
        .map_err(|error| Error::session("reading an answer", error))
}

fn text(row: &Row, index: usize) -> Result<&str, Error> {
    row.try_get(index)
        .map_err(|error| Error::session("reading an answer", error))
}

fn unexpected(what: String) -> Error {
    Error::new(Kind::Unexpected(what))
}

fn number(term: i64) -> Result<u64, Error> {
    u64::try_from(term).map_err(|_| unexpected(format!("term {term}")))
}

fn signed(term: u64) -> i64 {
    i64::try_from(term).unwrap_or(i64::MAX)
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn duration(milliseconds: i32) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// A secret that only this process and the database know.
pub(crate) async fn new_instance(client: &Client) -> Result<String, Error> {
    value(client, "SELECT gen_random_uuid()::text", &[]).await
}

/// The election's id.
pub(crate) async fn join(
    client: &Client,
    name: &str,
    instance: &str,
    address: &str,
    lease: Duration,
    application: &str,
) -> Result<i32, Error> {
    let parameters: [Parameter<'_>; 5] = [
        (&name, Type::TEXT),
        (&instance, Type::TEXT),
        (&address, Type::TEXT),
        (&milliseconds(lease), Type::INT4),
        (&application, Type::TEXT),
    ];
    value(
        client,
        "SELECT pgleader.join_election($1, $2::uuid, $3, $4, a.backend_start, $5) \
         FROM pg_stat_get_activity(pg_backend_pid()) AS a",
        &parameters,
    )
    .await
}

pub(crate) async fn leave(client: &Client, election: i32, instance: &str) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 2] = [(&election, Type::INT4), (&instance, Type::TEXT)];
    rows(
        client,
        "SELECT pgleader.leave_election($1, $2::uuid)",
        &parameters,
    )
    .await
    .map(|_| ())
}

/// An election's row, as somebody read it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) term: u64,
    pub(crate) state: ElectionState,
    pub(crate) address: Option<String>,
}

fn state(text: &str) -> Result<ElectionState, Error> {
    match text {
        "vacant" => Ok(ElectionState::Vacant),
        "recovering" => Ok(ElectionState::Recovering),
        "leading" => Ok(ElectionState::Leading),
        other => Err(unexpected(format!("the state \"{other}\""))),
    }
}

pub(crate) struct Tried {
    pub(crate) election: i32,
    pub(crate) outcome: Try,
    pub(crate) seen: Seen,
}

pub(crate) async fn campaign(
    client: &Client,
    elections: &[i32],
    successor_of: &[i32],
    overdue: &[i32],
    instance: &str,
    direct: bool,
    silence_limit: Duration,
) -> Result<Vec<Tried>, Error> {
    let parameters: [Parameter<'_>; 6] = [
        (&elections, Type::INT4_ARRAY),
        (&successor_of, Type::INT4_ARRAY),
        (&overdue, Type::INT4_ARRAY),
        (&instance, Type::TEXT),
        (&direct, Type::BOOL),
        (&milliseconds(silence_limit), Type::INT4),
    ];
    let statement = "SELECT election, outcome, term, state, address, leader_pid, lease_ms, wait_ms, \
                     was_direct, holder_pid, stranger, successor, silent_since, killed, fatal, reset \
                     FROM pgleader.campaign($1, $2, $3, $4::uuid, $5, $6)";
    let rows = rows(client, statement, &parameters).await?;
    if rows.len() != elections.len() {
        return Err(unexpected(format!(
            "{} tries of {}",
            rows.len(),
            elections.len()
        )));
    }
    rows.iter().map(tried).collect()
}

fn tried(row: &Row) -> Result<Tried, Error> {
    let term = column::<Option<i64>>(row, 2)?.map_or(Ok(0), number)?;
    let outcome = match text(row, 1)? {
        "began" if term > 0 => Try::Began { term },
        "won" => Try::Won(Won {
            last_term: term,
            last_pid: column(row, 5)?,
            wait: duration(column(row, 7)?),
            direct: column(row, 8)?,
        }),
        "fenced" => Try::Fenced {
            last_term: term,
            lease: column::<Option<i32>>(row, 6)?.map_or(Duration::ZERO, duration),
        },
        "held" => Try::Held(Held {
            term,
            leader_pid: column(row, 5)?,
            lease: column::<Option<i32>>(row, 6)?.map(duration),
            holder_pid: column(row, 9)?,
            stranger: column(row, 10)?,
            successor: column(row, 11)?,
            silent_since: column(row, 12)?,
            counters: counted(row, 13)?,
        }),
        other => return Err(unexpected(format!("the outcome \"{other}\""))),
    };
    // A leader on record whose lock somebody else holds, or nobody, leads no more.
    let gone = matches!(&outcome, Try::Held(held) if held.holder_pid != held.leader_pid);
    let seen = Seen {
        term,
        state: if gone {
            ElectionState::Vacant
        } else {
            state(text(row, 3)?)?
        },
        address: if gone { None } else { column(row, 4)? },
    };
    Ok(Tried {
        election: column(row, 0)?,
        outcome,
        seen,
    })
}

fn counted(row: &Row, first: usize) -> Result<Counters, Error> {
    Ok(Counters {
        killed: column(row, first)?,
        fatal: column(row, first + 1)?,
        reset: column(row, first + 2)?,
    })
}

pub(crate) async fn take_office(
    client: &Client,
    election: i32,
    instance: &str,
    direct: bool,
    waited: bool,
) -> Result<Office, Error> {
    let parameters: [Parameter<'_>; 4] = [
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&direct, Type::BOOL),
        (&waited, Type::BOOL),
    ];
    let statement = "SELECT outcome, term FROM pgleader.take_office($1, $2::uuid, $3, $4)";
    let rows = rows(client, statement, &parameters).await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no office".to_owned()))?;
    match (text(row, 0)?, column::<Option<i64>>(row, 1)?) {
        ("began", Some(term)) => Ok(Office::Began {
            term: number(term)?,
        }),
        ("waiting", None) => Ok(Office::Waiting),
        ("fenced", None) => Ok(Office::Fenced),
        (other, _) => Err(unexpected(format!("the outcome \"{other}\""))),
    }
}

pub(crate) async fn ready(
    client: &Client,
    election: i32,
    instance: &str,
    term: u64,
) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&signed(term), Type::INT8),
    ];
    if value(
        client,
        "SELECT pgleader.ready($1, $2::uuid, $3)",
        &parameters,
    )
    .await?
    {
        Ok(())
    } else {
        Err(unexpected(format!("term {term} is not on record as ours")))
    }
}

/// The terms that operators want to end, and who wants it.
pub(crate) async fn heartbeat(
    client: &Client,
    elections: &[i32],
) -> Result<Vec<(i32, u64, String)>, Error> {
    if elections.is_empty() {
        // Nothing can be asked of a session that leads nothing, and an observer may not look.
        return rows(client, "SELECT", &[]).await.map(|_| vec![]);
    }
    let statement = "SELECT election, term, requested_by::text FROM pgleader.heartbeat($1)";
    let rows = rows(client, statement, &[(&elections, Type::INT4_ARRAY)]).await?;
    rows.iter()
        .map(|row| Ok((column(row, 0)?, number(column(row, 1)?)?, column(row, 2)?)))
        .collect()
}

pub(crate) async fn vacate(
    client: &Client,
    election: i32,
    instance: &str,
    term: u64,
    ending: Ending,
    ended_by: Option<&str>,
) -> Result<bool, Error> {
    let ending = match ending {
        Ending::Resigned => "resigned",
        Ending::SteppedDown => "stepped down",
        Ending::Failed => "failed",
        Ending::Deposed => "deposed",
    };
    let parameters: [Parameter<'_>; 5] = [
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&signed(term), Type::INT8),
        (&ending, Type::TEXT),
        (&ended_by, Type::TEXT),
    ];
    value(
        client,
        "SELECT pgleader.vacate($1, $2::uuid, $3, $4, $5::name)",
        &parameters,
    )
    .await
}

pub(crate) async fn release(
    client: &Client,
    leadership: &[i32],
    succession: &[i32],
    silence_limit: Duration,
) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&leadership, Type::INT4_ARRAY),
        (&succession, Type::INT4_ARRAY),
        (&milliseconds(silence_limit), Type::INT4),
    ];
    if value(client, "SELECT pgleader.release($1, $2, $3)", &parameters).await? {
        Ok(())
    } else {
        Err(unexpected("a lock to release was not held".to_owned()))
    }
}

pub(crate) async fn announce(
    client: &Client,
    elections: &[i32],
    wait: Duration,
) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 2] = [
        (&elections, Type::INT4_ARRAY),
        (&milliseconds(wait), Type::INT4),
    ];
    rows(client, "SELECT pgleader.announce($1, $2)", &parameters)
        .await
        .map(|_| ())
}

/// How the named elections stand; one that nobody has joined yet is not there.
pub(crate) async fn read(client: &Client, names: &[&str]) -> Result<Vec<(String, Seen)>, Error> {
    let statement = "SELECT name, term, state, address FROM pgleader.read_elections($1)";
    let rows = rows(client, statement, &[(&names, Type::TEXT_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            let seen = Seen {
                term: number(column(row, 1)?)?,
                state: state(text(row, 2)?)?,
                address: column(row, 3)?,
            };
            Ok((column(row, 0)?, seen))
        })
        .collect()
}

pub(crate) async fn backend_gone(client: &Client, election: i32, term: u64) -> Result<bool, Error> {
    let parameters: [Parameter<'_>; 2] = [(&election, Type::INT4), (&signed(term), Type::INT8)];
    value(client, "SELECT pgleader.backend_gone($1, $2)", &parameters).await
}

pub(crate) async fn counters(client: &Client) -> Result<Counters, Error> {
    let rows = rows(
        client,
        "SELECT killed, fatal, reset FROM pgleader.counters()",
        &[],
    )
    .await?;
    counted(
        rows.first()
            .ok_or_else(|| unexpected("no counters".to_owned()))?,
        0,
    )
}

pub(crate) async fn evict(client: &Client, election: i32, term: u64) -> Result<bool, Error> {
    let parameters: [Parameter<'_>; 2] = [(&election, Type::INT4), (&signed(term), Type::INT8)];
    value(client, "SELECT pgleader.evict($1, $2)", &parameters).await
}

/// How many sessions with fenced transactions were ended, and how many could not be.
pub(crate) async fn end_fenced(client: &Client, election: i32) -> Result<(u32, u32), Error> {
    let statement = "SELECT ended, remaining FROM pgleader.end_fenced($1)";
    let rows = rows(client, statement, &[(&election, Type::INT4)]).await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no count".to_owned()))?;
    let count = |index| Ok(column::<i32>(row, index)?.cast_unsigned());
    Ok((count(0)?, count(1)?))
}
