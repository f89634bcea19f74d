//! Every statement of a session, one function each: what it sends and what it makes of the answer.
//!
//! Each is one write that ends in a Sync. An answer that makes no sense is an error, and every error ends
//! the session: that frees its locks and leaves one way back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use crate::engine::{
    self, Bar, Counters, ElectionState, Ending, Heard, Held, Office, Try, View, Won,
};
use crate::error::{Error, Kind};

/// A parameter and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

const CAMPAIGN: &str = "SELECT election, outcome, term, token::text, state, address, leader_pid, lease_ms, wait_ms, \
                     was_direct, holder_pid, stranger, successor, silent_since, killed, fatal, reset, bar, \
                     elsewhere_ms, known, known_lease_ms, watched \
                     FROM pgleader.campaign($1, $2, $3, $4, $5::uuid, $6, $7, $8, $9)";
const TAKE_OFFICE: &str = "SELECT outcome, term, token::text, bar, elsewhere_ms, known, known_lease_ms \
                           FROM pgleader.take_office($1, $2, $3::uuid, $4, $5, $6, $7, $8)";
const HEARTBEAT: &str =
    "SELECT election, term, kind, requested_by::text FROM pgleader.heartbeat($1, $2, $3)";
const VACATE: &str = "SELECT pgleader.vacate($1, $2, $3::uuid, $4, $5, $6::name, $7)";
const RELEASE: &str = "SELECT pgleader.release($1, $2, $3, $4)";
const ANNOUNCE: &str = "SELECT pgleader.announce($1, $2, $3)";
const READ: &str = "SELECT name, term, state, address, bar, called, lease_ms \
                 FROM pgleader.read_elections($1, $2::uuid)";

/// Those that a session sends again and again: parsed once.
const PREPARED: [(&str, &[Type]); 7] = [
    (
        CAMPAIGN,
        &[
            Type::TEXT,
            Type::INT4_ARRAY,
            Type::INT4_ARRAY,
            Type::INT4_ARRAY,
            Type::TEXT,
            Type::BOOL,
            Type::INT4,
            Type::INT8_ARRAY,
            Type::INT4_ARRAY,
        ],
    ),
    (
        TAKE_OFFICE,
        &[
            Type::TEXT,
            Type::INT4,
            Type::TEXT,
            Type::BOOL,
            Type::BOOL,
            Type::INT4,
            Type::INT8,
            Type::INT4,
        ],
    ),
    (HEARTBEAT, &[Type::TEXT, Type::OID, Type::INT4_ARRAY]),
    (
        VACATE,
        &[
            Type::TEXT,
            Type::INT4,
            Type::TEXT,
            Type::INT8,
            Type::TEXT,
            Type::TEXT,
            Type::TEXT,
        ],
    ),
    (
        RELEASE,
        &[Type::TEXT, Type::INT4_ARRAY, Type::INT4_ARRAY, Type::INT4],
    ),
    (ANNOUNCE, &[Type::TEXT, Type::INT4_ARRAY, Type::INT4]),
    (READ, &[Type::TEXT_ARRAY, Type::TEXT]),
];

/// A client, and what is prepared on its session.
pub(crate) struct Link {
    client: Arc<Client>,
    /// pgpool-II is between.
    pgpool: bool,
    prepared: HashMap<&'static str, Statement>,
    /// What its session bears: a call that meets another one is refused.
    mark: String,
    /// The class of the leadership locks: another one means other locks.
    locks: u32,
}

impl Link {
    /// One round trip for all.
    pub(crate) async fn prepare(
        client: Arc<Client>,
        mark: String,
        pgpool: bool,
    ) -> Result<Link, Error> {
        let prepared = PREPARED.map(|(statement, types)| client.prepare_typed(statement, types));
        let (prepared, locks) = try_join(
            try_join_all(prepared),
            client.query_typed("SELECT 'pgleader.election'::regclass::oid", &[]),
        )
        .await
        .map_err(|error| Error::session("preparing statements", error))?;
        let locks = locks
            .first()
            .ok_or_else(|| unexpected("no row".to_owned()))?;
        let texts = PREPARED.map(|(statement, _)| statement);
        Ok(Link {
            locks: column(locks, 0)?,
            client,
            pgpool,
            prepared: texts.into_iter().zip(prepared).collect(),
            mark,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

async fn rows(
    link: &Link,
    statement: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Error> {
    let result = match link.prepared.get(statement) {
        Some(prepared) => {
            let values: Vec<&(dyn ToSql + Sync)> =
                parameters.iter().map(|(value, _)| *value).collect();
            link.client.query(prepared, &values).await
        }
        None => link.client.query_typed(statement, parameters).await,
    };
    result.map_err(|error| match error.as_db_error() {
        Some(db) if db.code().code() == "PL003" => {
            let why = db.message().to_owned();
            Error::caused(Kind::Pooler(why), error)
        }
        _ => Error::session(statement, error),
    })
}

async fn value<T: for<'a> FromSql<'a>>(
    link: &Link,
    statement: &'static str,
    parameters: &[Parameter<'_>],
) -> Result<T, Error> {
    let rows = rows(link, statement, parameters).await?;
    column(
        rows.first()
            .ok_or_else(|| unexpected(format!("{statement}: no row")))?,
        0,
    )
}

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
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
pub(crate) async fn new_instance(link: &Link) -> Result<String, Error> {
    value(link, "SELECT gen_random_uuid()::text", &[]).await
}

fn heard(row: &Row, first: usize) -> Result<Heard, Error> {
    Ok(Heard {
        term: number(column(row, first)?)?,
        lease: duration(column(row, first + 1)?),
    })
}

/// Who joins.
pub(crate) struct Candidate<'a> {
    pub(crate) instance: &'a str,
    pub(crate) address: &'a str,
    pub(crate) priority: i32,
    pub(crate) lease: Duration,
    /// The name that its session shows.
    pub(crate) application: &'a str,
}

/// The election's id, and below what no term begins here.
pub(crate) async fn join(
    link: &Link,
    name: &str,
    candidate: &Candidate<'_>,
    before: Heard,
) -> Result<(i32, Heard), Error> {
    let parameters: [Parameter<'_>; 9] = [
        (&link.mark, Type::TEXT),
        (&name, Type::TEXT),
        (&candidate.instance, Type::TEXT),
        (&candidate.address, Type::TEXT),
        (&milliseconds(candidate.lease), Type::INT4),
        (&candidate.application, Type::TEXT),
        (&candidate.priority, Type::INT4),
        (&signed(before.term), Type::INT8),
        (&milliseconds(before.lease), Type::INT4),
    ];
    let rows = rows(
        link,
        "SELECT j.election_id, j.known, j.known_lease_ms \
         FROM pg_stat_get_activity(pg_backend_pid()) AS a, \
              pgleader.join_election($1, $2, $3::uuid, $4, $5, a.backend_start, $6, $7, $8, $9) AS j",
        &parameters,
    )
    .await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no election".to_owned()))?;
    let id: i32 = column(row, 0)?;
    if link.pgpool {
        let recorded = "SELECT pgleader.record_pgpool($1, $2)";
        let parameters: [Parameter<'_>; 2] = [(&link.mark, Type::TEXT), (&id, Type::INT4)];
        self::rows(link, recorded, &parameters).await?;
    }
    Ok((id, heard(row, 1)?))
}

pub(crate) async fn leave(link: &Link, election: i32, instance: &str) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&link.mark, Type::TEXT),
        (&election, Type::INT4),
        (&instance, Type::TEXT),
    ];
    rows(
        link,
        "SELECT pgleader.leave_election($1, $2, $3::uuid)",
        &parameters,
    )
    .await
    .map(|_| ())
}

/// What an operator asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: String,
    pub(crate) by: String,
}

fn bar(row: &Row, index: usize) -> Result<Option<Bar>, Error> {
    match column::<Option<String>>(row, index)?.as_deref() {
        None => Ok(None),
        Some("suspended") => Ok(Some(Bar::Suspended)),
        Some("excluded") => Ok(Some(Bar::Excluded)),
        Some("transfer") => Ok(Some(Bar::Transfer)),
        Some("outranked") => Ok(Some(Bar::Outranked)),
        Some("unknown") => Ok(Some(Bar::Unknown)),
        Some("beyond") => Ok(Some(Bar::Beyond)),
        Some(other) => Err(unexpected(format!("the bar \"{other}\""))),
    }
}

pub(super) fn state(text: &str) -> Result<ElectionState, Error> {
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
    /// Where the term has begun.
    pub(crate) token: Option<String>,
    pub(crate) row: engine::Row,
}

/// What is tried for. The other lists are parts of `elections`, but for `heard`, which has an entry for each.
pub(crate) struct Campaign<'a> {
    pub(crate) elections: &'a [i32],
    pub(crate) successor_of: &'a [i32],
    pub(crate) overdue: &'a [i32],
    pub(crate) heard: &'a [Heard],
}

pub(crate) async fn campaign(
    link: &Link,
    campaign: &Campaign<'_>,
    instance: &str,
    direct: bool,
    silence_limit: Duration,
) -> Result<Vec<Tried>, Error> {
    let heard = campaign.heard;
    let heard_terms: Vec<i64> = heard.iter().map(|heard| signed(heard.term)).collect();
    let heard_leases: Vec<i32> = heard
        .iter()
        .map(|heard| milliseconds(heard.lease))
        .collect();
    let parameters: [Parameter<'_>; 9] = [
        (&link.mark, Type::TEXT),
        (&campaign.elections, Type::INT4_ARRAY),
        (&campaign.successor_of, Type::INT4_ARRAY),
        (&campaign.overdue, Type::INT4_ARRAY),
        (&instance, Type::TEXT),
        (&direct, Type::BOOL),
        (&milliseconds(silence_limit), Type::INT4),
        (&heard_terms, Type::INT8_ARRAY),
        (&heard_leases, Type::INT4_ARRAY),
    ];
    let rows = rows(link, CAMPAIGN, &parameters).await?;
    if rows.len() != campaign.elections.len() {
        return Err(unexpected(format!(
            "{} tries of {}",
            rows.len(),
            campaign.elections.len()
        )));
    }
    rows.iter().map(tried).collect()
}

fn tried(row: &Row) -> Result<Tried, Error> {
    let term = column::<Option<i64>>(row, 2)?.map_or(Ok(0), number)?;
    let outcome = match column::<&str>(row, 1)? {
        "began" if term > 0 => Try::Began { term },
        "won" => Try::Won(Won {
            last_term: term,
            last_pid: column(row, 6)?,
            wait: duration(column(row, 8)?),
            direct: column(row, 9)?,
            elsewhere: duration(column(row, 18)?),
            heard: heard(row, 19)?,
            watched: watched(row)?,
        }),
        "fenced" => Try::Fenced {
            last_term: term,
            lease: column::<Option<i32>>(row, 7)?.map_or(Duration::ZERO, duration),
        },
        "held" => Try::Held(Held {
            term,
            leader_pid: column(row, 6)?,
            lease: column::<Option<i32>>(row, 7)?.map(duration),
            holder_pid: column(row, 10)?,
            stranger: column(row, 11)?,
            successor: column(row, 12)?,
            silent_since: column(row, 13)?,
            counters: counted(row, 14)?,
            watched: column(row, 21)?,
            bar: bar(row, 17)?,
        }),
        other => return Err(unexpected(format!("the outcome \"{other}\""))),
    };
    let shown = engine::Row {
        term,
        state: state(column(row, 4)?)?,
        address: address(row, 5)?,
        bar: bar(row, 17)?,
    };
    Ok(Tried {
        token: column(row, 3)?,
        election: column(row, 0)?,
        outcome,
        row: shown,
    })
}

fn watched(row: &Row) -> Result<Option<Counters>, Error> {
    column::<bool>(row, 21)?
        .then(|| counted(row, 14))
        .transpose()
}

fn counted(row: &Row, first: usize) -> Result<Counters, Error> {
    Ok(Counters {
        killed: column(row, first)?,
        fatal: column(row, first + 1)?,
        reset: column(row, first + 2)?,
    })
}

pub(crate) async fn take_office(
    link: &Link,
    election: i32,
    instance: &str,
    direct: bool,
    waited: bool,
    elsewhere: Duration,
    before: Heard,
) -> Result<(Office, Option<String>), Error> {
    let parameters: [Parameter<'_>; 8] = [
        (&link.mark, Type::TEXT),
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&direct, Type::BOOL),
        (&waited, Type::BOOL),
        (&milliseconds(elsewhere), Type::INT4),
        (&signed(before.term), Type::INT8),
        (&milliseconds(before.lease), Type::INT4),
    ];
    let rows = rows(link, TAKE_OFFICE, &parameters).await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no office".to_owned()))?;
    let office = match (column::<&str>(row, 0)?, column::<Option<i64>>(row, 1)?) {
        ("began", Some(term)) => Office::Began {
            term: number(term)?,
        },
        ("waiting", None) => Office::Waiting {
            elsewhere: duration(column(row, 4)?),
            heard: heard(row, 5)?,
        },
        ("barred", None) => match bar(row, 3)? {
            Some(bar) => Office::Barred(bar),
            None => return Err(unexpected("barred, and not why".to_owned())),
        },
        ("fenced", None) => Office::Fenced,
        (other, _) => return Err(unexpected(format!("the outcome \"{other}\""))),
    };
    Ok((office, column(row, 2)?))
}

pub(crate) async fn ready(
    link: &Link,
    election: i32,
    instance: &str,
    term: u64,
) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 4] = [
        (&link.mark, Type::TEXT),
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&signed(term), Type::INT8),
    ];
    let call = "SELECT pgleader.ready($1, $2, $3::uuid, $4)";
    if value(link, call, &parameters).await? {
        Ok(())
    } else {
        Err(unexpected(format!("term {term} is not on record as ours")))
    }
}

/// Nothing but an answer.
pub(crate) async fn prove(link: &Link) -> Result<(), Error> {
    rows(link, "SELECT", &[]).await.map(|_| ())
}

/// The terms that operators want to end, and what they asked for.
pub(crate) async fn heartbeat(
    link: &Link,
    elections: &[i32],
) -> Result<Vec<(i32, u64, Request)>, Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&link.mark, Type::TEXT),
        (&link.locks, Type::OID),
        (&elections, Type::INT4_ARRAY),
    ];
    let rows = rows(link, HEARTBEAT, &parameters).await?;
    rows.iter()
        .map(|row| {
            let request = Request {
                kind: column(row, 2)?,
                by: column(row, 3)?,
            };
            Ok((column(row, 0)?, number(column(row, 1)?)?, request))
        })
        .collect()
}

pub(crate) async fn vacate(
    link: &Link,
    election: i32,
    instance: &str,
    term: u64,
    ending: Ending,
    request: Option<&Request>,
) -> Result<bool, Error> {
    let ending = match ending {
        Ending::Resigned => "resigned",
        Ending::SteppedDown => "stepped down",
        Ending::Failed => "failed",
        Ending::Deposed => "deposed",
    };
    let parameters: [Parameter<'_>; 7] = [
        (&link.mark, Type::TEXT),
        (&election, Type::INT4),
        (&instance, Type::TEXT),
        (&signed(term), Type::INT8),
        (&ending, Type::TEXT),
        (&request.map(|request| &request.by), Type::TEXT),
        (&request.map(|request| &request.kind), Type::TEXT),
    ];
    value(link, VACATE, &parameters).await
}

pub(crate) async fn release(
    link: &Link,
    leadership: &[i32],
    succession: &[i32],
    silence_limit: Duration,
) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 4] = [
        (&link.mark, Type::TEXT),
        (&leadership, Type::INT4_ARRAY),
        (&succession, Type::INT4_ARRAY),
        (&milliseconds(silence_limit), Type::INT4),
    ];
    if value(link, RELEASE, &parameters).await? {
        Ok(())
    } else {
        Err(unexpected("a lock to release was not held".to_owned()))
    }
}

pub(crate) async fn announce(link: &Link, elections: &[i32], wait: Duration) -> Result<(), Error> {
    let parameters: [Parameter<'_>; 3] = [
        (&link.mark, Type::TEXT),
        (&elections, Type::INT4_ARRAY),
        (&milliseconds(wait), Type::INT4),
    ];
    rows(link, ANNOUNCE, &parameters).await.map(|_| ())
}

/// How the named elections stand, for this process; one that nobody has joined yet is not there.
pub(crate) async fn read(
    link: &Link,
    names: &[&str],
    instance: &str,
) -> Result<HashMap<String, (engine::Row, View)>, Error> {
    let parameters: [Parameter<'_>; 2] = [(&names, Type::TEXT_ARRAY), (&instance, Type::TEXT)];
    let rows = rows(link, READ, &parameters).await?;
    rows.iter()
        .map(|row| {
            let shown = engine::Row {
                term: number(column(row, 1)?)?,
                state: state(column(row, 2)?)?,
                address: address(row, 3)?,
                bar: bar(row, 4)?,
            };
            let view = View {
                term: shown.term,
                lease: column::<Option<i32>>(row, 6)?.map(duration),
                vacant: shown.state == ElectionState::Vacant,
                bar: shown.bar,
                called: column(row, 5)?,
            };
            Ok((column(row, 0)?, (shown, view)))
        })
        .collect()
}

fn address(row: &Row, index: usize) -> Result<Option<Arc<str>>, Error> {
    Ok(column::<Option<&str>>(row, index)?.map(Arc::from))
}

/// The mark, an election and a term.
fn about<'a>(link: &'a Link, election: &'a i32, term: &'a i64) -> [Parameter<'a>; 3] {
    [
        (&link.mark, Type::TEXT),
        (election, Type::INT4),
        (term, Type::INT8),
    ]
}

pub(crate) async fn backend_gone(link: &Link, election: i32, term: u64) -> Result<bool, Error> {
    let term = signed(term);
    let parameters = about(link, &election, &term);
    value(
        link,
        "SELECT pgleader.backend_gone($1, $2, $3)",
        &parameters,
    )
    .await
}

pub(crate) async fn counters(link: &Link) -> Result<Counters, Error> {
    let rows = rows(
        link,
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

pub(crate) async fn evict(link: &Link, election: i32, term: u64) -> Result<bool, Error> {
    let term = signed(term);
    let parameters = about(link, &election, &term);
    value(link, "SELECT pgleader.evict($1, $2, $3)", &parameters).await
}

/// Whether a term's session is behind pgpool-II, and therefore ended by nobody.
pub(crate) async fn is_behind_pgpool(link: &Link, election: i32, term: u64) -> Result<bool, Error> {
    let parameters: [Parameter<'_>; 2] = [(&election, Type::INT4), (&signed(term), Type::INT8)];
    let statement = "SELECT pgleader.is_behind_pgpool($1, $2)";
    value(link, statement, &parameters).await
}

/// How many sessions with fenced transactions were ended, how many could not be, and who these are.
pub(crate) async fn end_fenced(
    link: &Link,
    election: i32,
) -> Result<(u32, u32, Option<String>), Error> {
    let statement = "SELECT ended, remaining, who FROM pgleader.end_fenced($1, $2)";
    let parameters: [Parameter<'_>; 2] = [(&link.mark, Type::TEXT), (&election, Type::INT4)];
    let rows = rows(link, statement, &parameters).await?;
    let row = rows
        .first()
        .ok_or_else(|| unexpected("no count".to_owned()))?;
    let count = |index| Ok(column::<i32>(row, index)?.cast_unsigned());
    Ok((count(0)?, count(1)?, column(row, 2)?))
}
