//! Prove the session, and hear what is asked of the leader.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column};
use crate::engine::{Answer, Asked, Id, StepDown};

pub(super) const STATEMENT: Statement = Statement {
    name: "the heartbeat",
    text: "SELECT election, term, kind, requested_by::text AS requested_by FROM pgleader.heartbeat($1, $2, $3)",
    types: &[Type::TEXT, Type::OID, Type::INT4_ARRAY],
};

/// Whether it still is a session with a primary.
const PROVE: Statement = Statement {
    name: "proving the session",
    text: "SELECT pg_is_in_recovery() AS standby",
    types: &[],
};

pub(super) async fn prove(link: &Link) -> Result<Answer, Unanswered> {
    let rows = link.rows(&PROVE, &[]).await?;
    let row = rows::only(rows.into_iter(), PROVE.name)?;
    if column(&row, "standby")? {
        return Err(rows::unexpected("this server has become a standby"));
    }
    Ok(Answer::Done)
}

pub(super) async fn ask(link: &Link, elections: &[Id]) -> Result<Answer, Unanswered> {
    let mark = &link.0.constants.mark;
    let rows = link
        .rows(&STATEMENT, &[mark, &link.0.locks, &rows::ids(elections)])
        .await?;
    let mut asked = vec![];
    for row in &rows {
        asked.push(StepDown {
            election: rows::id(row)?,
            term: rows::term(row, "term")?,
            asked: Asked {
                kind: rows::text(row, "kind")?,
                by: rows::text(row, "requested_by")?,
            },
        });
    }
    Ok(Answer::Asked(asked))
}
