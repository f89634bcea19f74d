//! What is read from a row, and what is written into a statement: by the name of the column, and as the engine has it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::error::Unanswered;
use crate::engine::{Bar, Counters, ElectionState, Heard, Id, Refused, Slice, Taken, Told};

/// Of an error: the server's lock table is full.
const NO_ROOM: &str = "SQLSTATE 53200";

pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, name: &str) -> Result<T, Unanswered> {
    row.try_get(name)
        .map_err(|error| Unanswered::of("reading an answer", error))
}

pub(super) fn unexpected(what: impl Into<String>) -> Unanswered {
    Unanswered::Unexpected(what.into())
}

/// The row of an answer that has no other.
pub(super) fn only(mut rows: impl Iterator<Item = Row>, doing: &str) -> Result<Row, Unanswered> {
    let row = rows.next().filter(|_| rows.next().is_none());
    row.ok_or_else(|| unexpected(format!("{doing}: not one row")))
}

/// One row at most for each election that was asked for, and none for another. What cannot be read of one, as where a
/// newer schema wrote it, is that one's refusal.
pub(super) fn each<T>(
    asked: &[Id],
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, Unanswered>,
) -> Result<Vec<(Id, Told<T>)>, Unanswered> {
    let mut found = vec![];
    for row in rows {
        found.push((id(row)?, outcome(row, &read)));
    }
    let answered: BTreeSet<Id> = found.iter().map(|(id, _)| *id).collect();
    let asked: BTreeSet<Id> = asked.iter().copied().collect();
    if answered.len() == found.len() && answered.is_subset(&asked) {
        Ok(found)
    } else {
        let answered: Vec<Id> = found.iter().map(|(id, _)| *id).collect();
        Err(unexpected(format!(
            "{answered:?} were answered for {asked:?}"
        )))
    }
}

/// One row for each, where none is left out.
pub(super) fn one_each<T>(
    asked: &[Id],
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, Unanswered>,
) -> Result<Vec<(Id, Told<T>)>, Unanswered> {
    let found = each(asked, rows, read)?;
    if found.len() == asked.len() {
        Ok(found)
    } else {
        Err(unexpected("an election was not answered"))
    }
}

/// What a row says of its election. The server tells in the column `refused` of what it has refused.
pub(super) fn outcome<T>(row: &Row, read: impl Fn(&Row) -> Result<T, Unanswered>) -> Told<T> {
    if let Ok(Some(why)) = row.try_get::<_, Option<&str>>("refused") {
        return Err(refused(why.to_owned()));
    }
    read(row).map_err(|error| Refused {
        taken: taken(row),
        ..refused(error.to_string())
    })
}

/// What the try that a row tells of has taken.
fn taken(row: &Row) -> Taken {
    Taken {
        leadership: matches!(row.try_get("outcome"), Ok("began" | "won" | "fenced")),
        succession: matches!(row.try_get("successor"), Ok(true)),
    }
}

/// Why one election alone was refused.
pub(super) fn refused(why: String) -> Refused {
    Refused {
        no_room: why.contains(NO_ROOM),
        taken: Taken::default(),
        why: why.into(),
    }
}

pub(super) fn id(row: &Row) -> Result<Id, Unanswered> {
    column(row, "election").map(Id)
}

pub(super) fn ids(ids: &[Id]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

pub(super) fn text(row: &Row, name: &str) -> Result<Arc<str>, Unanswered> {
    column::<&str>(row, name).map(Arc::from)
}

pub(super) fn optional_text(row: &Row, name: &str) -> Result<Option<Arc<str>>, Unanswered> {
    Ok(column::<Option<&str>>(row, name)?.map(Arc::from))
}

pub(super) fn term(row: &Row, name: &str) -> Result<u64, Unanswered> {
    let number: i64 = column(row, name)?;
    u64::try_from(number).map_err(|_| unexpected(format!("term {number}")))
}

/// What the database has for it: terms are never that great.
pub(super) fn signed(term: u64) -> i64 {
    i64::try_from(term).unwrap_or(i64::MAX)
}

/// How long the server may go on with a slice, in milliseconds.
pub(super) fn limit<T>(slice: &Slice<T>) -> i32 {
    milliseconds(slice.limit).max(1)
}

pub(super) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

pub(super) fn duration(row: &Row, name: &str) -> Result<Duration, Unanswered> {
    Ok(optional_duration(row, name)?.unwrap_or_default())
}

pub(super) fn optional_duration(row: &Row, name: &str) -> Result<Option<Duration>, Unanswered> {
    let milliseconds: Option<i32> = column(row, name)?;
    let milliseconds = milliseconds.map(|milliseconds| u64::try_from(milliseconds).unwrap_or(0));
    Ok(milliseconds.map(Duration::from_millis))
}

/// What the process has heard of now.
pub(super) fn heard(row: &Row) -> Result<Heard, Unanswered> {
    Ok(Heard {
        term: term(row, "known")?,
        lease: duration(row, "known_lease_ms")?,
    })
}

/// The terms and the leases of what was heard, for a list of each.
pub(super) fn all_heard(heard: impl Iterator<Item = Heard>) -> (Vec<i64>, Vec<i32>) {
    heard
        .map(|heard| (signed(heard.term), milliseconds(heard.lease)))
        .unzip()
}

pub(super) fn counters(row: &Row) -> Result<Counters, Unanswered> {
    Ok(Counters {
        killed: column(row, "killed")?,
        fatal: column(row, "fatal")?,
        reset: column(row, "reset")?,
    })
}

pub(super) fn bar(row: &Row) -> Result<Option<Bar>, Unanswered> {
    Ok(match column(row, "bar")? {
        None => None,
        Some("suspended") => Some(Bar::Suspended),
        Some("excluded") => Some(Bar::Excluded),
        Some("transfer") => Some(Bar::Transfer),
        Some("outranked") => Some(Bar::Outranked),
        Some("unknown") => Some(Bar::Unknown),
        Some("beyond") => Some(Bar::Beyond),
        Some(other) => return Err(unexpected(format!("the bar \"{other}\""))),
    })
}

pub(super) fn state(row: &Row) -> Result<ElectionState, Unanswered> {
    match column(row, "state")? {
        "vacant" => Ok(ElectionState::Vacant),
        "recovering" => Ok(ElectionState::Recovering),
        "leading" => Ok(ElectionState::Leading),
        other => Err(unexpected(format!("the state \"{other}\""))),
    }
}
