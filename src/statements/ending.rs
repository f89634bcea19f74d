//! Say that the work of terms has stopped, and let go of their locks.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, milliseconds, signed};
use crate::engine::{Answer, Ending, Id, Slice, Vacate};

pub(super) const VACATE: Statement = Statement {
    name: "vacating",
    text: "SELECT election, vacated, refused \
           FROM pgleader.vacate($1, $2, $3::uuid, $4, $5, $6::name[], $7, $8)",
    types: &[
        Type::TEXT,
        Type::INT4_ARRAY,
        Type::TEXT,
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT4,
    ],
};

pub(super) const RELEASE: Statement = Statement {
    name: "releasing",
    text: "SELECT election, held FROM pgleader.release($1, $2, $3, $4)",
    types: &[Type::TEXT, Type::INT4_ARRAY, Type::INT4_ARRAY, Type::INT4],
};

pub(super) async fn vacate(link: &Link, terms: &Slice<Vacate>) -> Result<Answer, Unanswered> {
    let limit = rows::limit(terms);
    let terms = &terms.of;
    let mark = &link.0.constants.mark;
    let elections: Vec<Id> = terms.iter().map(|vacate| vacate.election).collect();
    let numbers: Vec<i64> = terms.iter().map(|vacate| signed(vacate.term)).collect();
    let endings: Vec<&str> = terms.iter().map(|vacate| word(vacate.ending)).collect();
    let asked = || terms.iter().map(|vacate| vacate.asked.as_ref());
    let by: Vec<Option<&str>> = asked().map(|asked| asked.map(|asked| &*asked.by)).collect();
    let kinds: Vec<Option<&str>> = asked()
        .map(|asked| asked.map(|asked| &*asked.kind))
        .collect();
    let rows = link
        .rows(
            &VACATE,
            &[
                mark,
                &rows::ids(&elections),
                &&**link.instance(),
                &numbers,
                &endings,
                &by,
                &kinds,
                &limit,
            ],
        )
        .await?;
    rows::each(&elections, &rows, |row| column(row, "vacated")).map(Answer::Vacated)
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Resigned => "resigned",
        Ending::SteppedDown => "stepped down",
        Ending::Failed => "failed",
        Ending::Deposed => "deposed",
    }
}

pub(super) async fn release(
    link: &Link,
    leadership: &[Id],
    succession: &[Id],
    silence_limit: Duration,
) -> Result<Answer, Unanswered> {
    let mark = &link.0.constants.mark;
    let rows = link
        .rows(
            &RELEASE,
            &[
                mark,
                &rows::ids(leadership),
                &rows::ids(succession),
                &milliseconds(silence_limit),
            ],
        )
        .await?;
    let mut all = [leadership, succession].concat();
    all.sort_unstable();
    all.dedup();
    let held = rows::one_each(&all, &rows, |row| column::<bool>(row, "held"))?;
    match held.iter().find(|(_, held)| *held != Ok(true)) {
        None => Ok(Answer::Done),
        Some((election, _)) => Err(rows::unexpected(format!(
            "a lock of {election:?} to release was not held"
        ))),
    }
}
