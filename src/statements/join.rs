//! Become a candidate.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, milliseconds};
use crate::engine::{Answer, Join, Joined, Slice};

const STATEMENT: Statement = Statement {
    name: "joining",
    // As bytes: what the server's encoding cannot hold shall be that election's fault alone.
    text: "SELECT j.place, j.election, j.known, j.known_lease_ms, j.refused \
           FROM pg_stat_get_activity(pg_backend_pid()) AS a, \
                pgleader.join_elections($1, \
                    ARRAY(SELECT pgleader.text_of(u.utf8) FROM unnest($2) WITH ORDINALITY AS u (utf8, place) \
                          ORDER BY u.place), \
                    $3::uuid, \
                    ARRAY(SELECT pgleader.text_of(u.utf8) FROM unnest($4) WITH ORDINALITY AS u (utf8, place) \
                          ORDER BY u.place), \
                    $5, a.backend_start, $6, $7, $8, $9, $10, $11) AS j",
    types: &[
        Type::TEXT,
        Type::BYTEA_ARRAY,
        Type::TEXT,
        Type::BYTEA_ARRAY,
        Type::INT4,
        Type::TEXT,
        Type::INT4_ARRAY,
        Type::INT8_ARRAY,
        Type::INT4_ARRAY,
        Type::BOOL,
        Type::INT4,
    ],
};

pub(super) async fn ask(link: &Link, joins: &Slice<Join>) -> Result<Answer, Unanswered> {
    let limit = rows::limit(joins);
    let joins = &joins.of;
    let constants = &link.0.constants;
    let names: Vec<&[u8]> = joins.iter().map(|join| join.name.as_bytes()).collect();
    let addresses = joins.iter().map(|join| join.address.as_bytes());
    let addresses: Vec<&[u8]> = addresses.collect();
    let priorities: Vec<i32> = joins.iter().map(|join| join.priority).collect();
    let first = joins.first().map(|join| Arc::clone(&join.address));
    let first = link.0.address.get_or_init(|| first.unwrap_or_default());
    // The server shows the others as question marks too, but only those that its encoding has.
    let shown = format!("{} {first}", constants.application)
        .replace(|character: char| !(' '..='~').contains(&character), "?");
    let (heard, leases) = rows::all_heard(joins.iter().map(|join| join.heard));
    let rows = link
        .rows(
            &STATEMENT,
            &[
                &constants.mark,
                &names,
                &&**link.instance(),
                &addresses,
                &milliseconds(constants.lease),
                &shown,
                &priorities,
                &heard,
                &leases,
                &constants.pgpool,
                &limit,
            ],
        )
        .await?;
    let mut joined = vec![];
    for row in &rows {
        let outcome = rows::outcome(row, |row| {
            Ok(Joined {
                election: rows::id(row)?,
                heard: rows::heard(row)?,
            })
        });
        let place: i32 = column(row, "place")?;
        let join = usize::try_from(place - 1)
            .ok()
            .and_then(|place| joins.get(place));
        let join = join.ok_or_else(|| rows::unexpected(format!("the name in place {place}")))?;
        joined.push((Arc::clone(&join.name), outcome));
    }
    Ok(Answer::Joined(joined))
}
