//! Be a candidate no longer.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows;
use crate::engine::{Answer, Id, Slice};

const STATEMENT: Statement = Statement {
    name: "leaving",
    text: "SELECT pgleader.leave_elections($1, $2, $3::uuid)",
    types: &[Type::TEXT, Type::INT4_ARRAY, Type::TEXT],
};

pub(super) async fn ask(link: &Link, elections: &Slice<Id>) -> Result<Answer, Unanswered> {
    let elections = &elections.of;
    let mark = &link.0.constants.mark;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [mark, &rows::ids(elections), &&**link.instance()];
    link.rows(&STATEMENT, &values).await?;
    let left = elections.iter().map(|election| (*election, Ok(())));
    Ok(Answer::Left(left.collect()))
}
