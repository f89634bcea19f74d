//! What proves that a leader's work has stopped, in two round trips: the counters are read once the backend is gone.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, signed};
use crate::engine::{Answer, Id, Slice};

const BACKEND_GONE: Statement = Statement {
    name: "looking for a leader's backend",
    text: "SELECT election, gone FROM pgleader.backend_gone($1, $2, $3)",
    types: &[Type::TEXT, Type::INT4_ARRAY, Type::INT8_ARRAY],
};

const COUNTERS: Statement = Statement {
    name: "reading the counters",
    text: "SELECT killed, fatal, reset FROM pgleader.counters()",
    types: &[],
};

pub(super) async fn backend_gone(
    link: &Link,
    terms: &Slice<(Id, u64)>,
) -> Result<Answer, Unanswered> {
    let mark = &link.0.constants.mark;
    let elections: Vec<Id> = terms.of.iter().map(|(election, _)| *election).collect();
    let numbers: Vec<i64> = terms.of.iter().map(|(_, term)| signed(*term)).collect();
    let rows = link
        .rows(&BACKEND_GONE, &[mark, &rows::ids(&elections), &numbers])
        .await?;
    rows::each(&elections, &rows, |row| column(row, "gone")).map(Answer::Gone)
}

pub(super) async fn counters(link: &Link) -> Result<Answer, Unanswered> {
    let rows = link.rows(&COUNTERS, &[]).await?;
    let row = rows::only(rows.into_iter(), COUNTERS.name)?;
    rows::counters(&row).map(Answer::Counters)
}
