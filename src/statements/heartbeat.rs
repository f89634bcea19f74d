//! Prove the session, and hear what is asked of the leader.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows;
use crate::engine::{Answer, Asked, Id, StepDown};

pub(super) const STATEMENT: Statement = Statement {
    name: "the heartbeat",
    text: "SELECT election, term, kind, requested_by::text AS requested_by FROM pgleader.heartbeat($1, $2, $3)",
    types: &[Type::TEXT, Type::OID, Type::INT4_ARRAY],
};

/// Nothing but an answer.
const PROVE: Statement = Statement {
    name: "proving the session",
    text: "SELECT",
    types: &[],
};

pub(super) async fn prove(link: &Link) -> Result<Answer, Unanswered> {
    link.rows(&PROVE, &[]).await?;
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
