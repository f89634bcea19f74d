//! End the sessions of leaders that are silent.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, signed};
use crate::engine::{Answer, Evicted, Id, Slice};

const STATEMENT: Statement = Statement {
    name: "evicting",
    text: "SELECT election, outcome FROM pgleader.evict($1, $2, $3)",
    types: &[Type::TEXT, Type::INT4_ARRAY, Type::INT8_ARRAY],
};

pub(super) async fn ask(link: &Link, terms: &Slice<(Id, u64)>) -> Result<Answer, Unanswered> {
    let mark = &link.0.constants.mark;
    let elections: Vec<Id> = terms.of.iter().map(|(election, _)| *election).collect();
    let numbers: Vec<i64> = terms.of.iter().map(|(_, term)| signed(*term)).collect();
    let rows = link
        .rows(&STATEMENT, &[mark, &rows::ids(&elections), &numbers])
        .await?;
    rows::each(&elections, &rows, evicted).map(Answer::Evicted)
}

fn evicted(row: &tokio_postgres::Row) -> Result<Evicted, Unanswered> {
    match column(row, "outcome")? {
        "ended" => Ok(Evicted::Done),
        "not allowed" => Ok(Evicted::NotAllowed),
        "behind pgpool" => Ok(Evicted::BehindPgpool),
        other => Err(rows::unexpected(format!("the outcome \"{other}\""))),
    }
}
