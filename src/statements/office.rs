//! Take office, and say that the work has recovered.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, milliseconds, signed};
use crate::engine::{Answer, Id, Office, Slice, TakeOffice};

pub(super) const TAKE: Statement = Statement {
    name: "taking office",
    text: "SELECT election, outcome, term, token::text AS token, bar, elsewhere_ms, known, known_lease_ms, refused \
           FROM pgleader.take_office($1, $2, $3::uuid, $4, $5, $6, $7, $8, $9)",
    types: &[
        Type::TEXT,
        Type::INT4_ARRAY,
        Type::TEXT,
        Type::BOOL,
        Type::BOOL_ARRAY,
        Type::INT4_ARRAY,
        Type::INT8_ARRAY,
        Type::INT4_ARRAY,
        Type::INT4,
    ],
};

const READY: Statement = Statement {
    name: "being ready",
    text: "SELECT election, recorded, refused FROM pgleader.ready($1, $2, $3::uuid, $4, $5)",
    types: &[
        Type::TEXT,
        Type::INT4_ARRAY,
        Type::TEXT,
        Type::INT8_ARRAY,
        Type::INT4,
    ],
};

pub(super) async fn take(link: &Link, takes: &Slice<TakeOffice>) -> Result<Answer, Unanswered> {
    let limit = rows::limit(takes);
    let takes = &takes.of;
    let constants = &link.0.constants;
    let elections: Vec<Id> = takes.iter().map(|take| take.election).collect();
    let waited: Vec<bool> = takes.iter().map(|take| take.waited).collect();
    let elsewhere = takes.iter().map(|take| milliseconds(take.elsewhere));
    let (heard, leases) = rows::all_heard(takes.iter().map(|take| take.heard));
    let rows = link
        .rows(
            &TAKE,
            &[
                &constants.mark,
                &rows::ids(&elections),
                &&**link.instance(),
                &constants.direct,
                &waited,
                &elsewhere.collect::<Vec<i32>>(),
                &heard,
                &leases,
                &limit,
            ],
        )
        .await?;
    rows::each(&elections, &rows, office).map(Answer::Office)
}

fn office(row: &tokio_postgres::Row) -> Result<Office, Unanswered> {
    match column(row, "outcome")? {
        "began" => Ok(Office::Began {
            term: rows::term(row, "term")?,
            token: rows::text(row, "token")?,
        }),
        "waiting" => Ok(Office::Waiting {
            elsewhere: rows::duration(row, "elsewhere_ms")?,
            heard: rows::heard(row)?,
        }),
        "barred" => match rows::bar(row)? {
            Some(bar) => Ok(Office::Barred(bar)),
            None => Err(rows::unexpected("barred, and not why")),
        },
        "fenced" => Ok(Office::Fenced),
        other => Err(rows::unexpected(format!("the outcome \"{other}\""))),
    }
}

pub(super) async fn ready(link: &Link, terms: &Slice<(Id, u64)>) -> Result<Answer, Unanswered> {
    let limit = rows::limit(terms);
    let terms = &terms.of;
    let mark = &link.0.constants.mark;
    let elections: Vec<Id> = terms.iter().map(|(election, _)| *election).collect();
    let numbers: Vec<i64> = terms.iter().map(|(_, term)| signed(*term)).collect();
    let rows = link
        .rows(
            &READY,
            &[
                mark,
                &rows::ids(&elections),
                &&**link.instance(),
                &numbers,
                &limit,
            ],
        )
        .await?;
    rows::each(&elections, &rows, |row| column(row, "recorded")).map(Answer::Recorded)
}
