//! Tell everybody how elections stand.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows;
use crate::engine::{Answer, Id};

pub(super) const STATEMENT: Statement = Statement {
    name: "announcing",
    text: "SELECT pgleader.announce($1, $2, $3)",
    types: &[Type::TEXT, Type::INT4_ARRAY, Type::INT4],
};

pub(super) async fn ask(link: &Link, elections: &[Id]) -> Result<Answer, Unanswered> {
    let constants = &link.0.constants;
    let wait = rows::milliseconds(constants.announce_limit);
    link.rows(&STATEMENT, &[&constants.mark, &rows::ids(elections), &wait])
        .await?;
    Ok(Answer::Done)
}
