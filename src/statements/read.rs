//! How elections stand.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column};
use crate::engine::{self, Answer, ElectionState, Found, Slice, View};

pub(super) const STATEMENT: Statement = Statement {
    name: "reading",
    // As bytes: nobody has joined an election whose name the server's encoding cannot hold.
    text: "SELECT name, term, state, address, lease_ms, bar, called \
           FROM pgleader.read_elections( \
               array_remove(ARRAY(SELECT pgleader.text_of(u.utf8) FROM unnest($1) AS u (utf8)), NULL), $2::uuid)",
    types: &[Type::BYTEA_ARRAY, Type::TEXT],
};

/// One that nobody has ever joined is not there.
pub(super) async fn ask(link: &Link, names: &Slice<Arc<str>>) -> Result<Answer, Unanswered> {
    let names: Vec<&str> = names.of.iter().map(|name| &**name).collect();
    let utf8: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let rows = match link.rows(&STATEMENT, &[&utf8, &&**link.instance()]).await {
        Ok(rows) => rows,
        // It has taken no lock that could be left behind, and whoever leads need not read.
        Err(error) if error.is_for_want_of_room() => {
            let why = rows::refused(error.to_string());
            let refused = names.iter().map(|name| ((*name).into(), Err(why.clone())));
            return Ok(Answer::Read(refused.collect()));
        }
        Err(error) => return Err(error),
    };
    let mut read = vec![];
    let mut unknown: BTreeSet<&str> = names.iter().copied().collect();
    for row in &rows {
        let name = rows::text(row, "name")?;
        unknown.remove(&*name);
        read.push((name, rows::outcome(row, found).map(Some)));
    }
    read.extend(unknown.into_iter().map(|name| (name.into(), Ok(None))));
    Ok(Answer::Read(read))
}

fn found(row: &tokio_postgres::Row) -> Result<Found, Unanswered> {
    let shown = engine::Row {
        term: rows::term(row, "term")?,
        state: rows::state(row)?,
        address: rows::optional_text(row, "address")?,
        bar: rows::bar(row)?,
    };
    let view = View {
        term: shown.term,
        lease: rows::optional_duration(row, "lease_ms")?,
        vacant: shown.state == ElectionState::Vacant,
        bar: shown.bar,
        called: column(row, "called")?,
    };
    Ok(Found { row: shown, view })
}
