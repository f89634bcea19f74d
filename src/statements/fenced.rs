//! End the fenced transactions that stand in the way of the next term.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column};
use crate::engine::{Answer, FencedEnded, Id, Slice};

const STATEMENT: Statement = Statement {
    name: "ending fenced transactions",
    text: "SELECT election, ended, remaining, who FROM pgleader.end_fenced($1, $2)",
    types: &[Type::TEXT, Type::INT4_ARRAY],
};

pub(super) async fn end(link: &Link, elections: &Slice<Id>) -> Result<Answer, Unanswered> {
    let mark = &link.0.constants.mark;
    let elections = &elections.of;
    let rows = link
        .rows(&STATEMENT, &[mark, &rows::ids(elections)])
        .await?;
    let ended = rows::each(elections, &rows, |row| {
        Ok(FencedEnded {
            ended: column::<i32>(row, "ended")?.cast_unsigned(),
            remaining: column::<i32>(row, "remaining")?.cast_unsigned(),
            who: rows::optional_text(row, "who")?,
        })
    })?;
    Ok(Answer::FencedEnded(ended))
}
