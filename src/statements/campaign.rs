//! Try for the leadership, else for the successor's place.

use tokio_postgres::types::Type;

use super::error::Unanswered;
use super::link::{Link, Statement};
use super::rows::{self, column, milliseconds};
use crate::engine::{self, Answer, Bid, Campaigned, Held, Id, Slice, Try, Won};

pub(super) const STATEMENT: Statement = Statement {
    name: "campaigning",
    text: "SELECT election, outcome, term, token::text AS token, state, address, leader_pid, lease_ms, wait_ms, \
                  was_direct, holder_pid, successor, silent_since, killed, fatal, reset, bar, elsewhere_ms, \
                  known, known_lease_ms, watched, refused, strangers \
           FROM pgleader.campaign($1, $2, $3, $4, $5::uuid, $6, $7, $8, $9, $10)",
    types: &[
        Type::TEXT,
        Type::INT4_ARRAY,
        Type::INT4_ARRAY,
        Type::INT4_ARRAY,
        Type::TEXT,
        Type::BOOL,
        Type::INT4,
        Type::INT8_ARRAY,
        Type::INT4_ARRAY,
        Type::INT4,
    ],
};

pub(super) async fn ask(link: &Link, bids: &Slice<Bid>) -> Result<Answer, Unanswered> {
    let limit = rows::limit(bids);
    let bids = &bids.of;
    let constants = &link.0.constants;
    let those = |which: fn(&Bid) -> bool| -> Vec<Id> {
        let bids = bids.iter().filter(|bid| which(bid));
        bids.map(|bid| bid.election).collect()
    };
    let elections = those(|_| true);
    let (heard, leases) = rows::all_heard(bids.iter().map(|bid| bid.heard));
    let rows = link
        .rows(
            &STATEMENT,
            &[
                &constants.mark,
                &rows::ids(&elections),
                &rows::ids(&those(|bid| bid.successor)),
                &rows::ids(&those(|bid| bid.overdue)),
                &&**link.instance(),
                &constants.direct,
                &milliseconds(constants.silence_limit),
                &heard,
                &leases,
                &limit,
            ],
        )
        .await?;
    let campaigned = |row: &tokio_postgres::Row| {
        Ok(Campaigned {
            tried: tried(row)?,
            row: shown(row)?,
        })
    };
    rows::each(&elections, &rows, campaigned).map(Answer::Campaigned)
}

fn shown(row: &tokio_postgres::Row) -> Result<engine::Row, Unanswered> {
    Ok(engine::Row {
        term: rows::term(row, "term")?,
        state: rows::state(row)?,
        address: rows::optional_text(row, "address")?,
        bar: rows::bar(row)?,
    })
}

fn tried(row: &tokio_postgres::Row) -> Result<Try, Unanswered> {
    let term = rows::term(row, "term")?;
    match column(row, "outcome")? {
        "began" if term > 0 => Ok(Try::Began {
            term,
            token: rows::text(row, "token")?,
        }),
        "won" => won(row, term).map(Try::Won),
        "fenced" => Ok(Try::Fenced {
            last_term: term,
            lease: rows::duration(row, "lease_ms")?,
        }),
        "held" => held(row, term).map(Try::Held),
        other => Err(rows::unexpected(format!("the outcome \"{other}\""))),
    }
}

fn won(row: &tokio_postgres::Row, last_term: u64) -> Result<Won, Unanswered> {
    let watched: bool = column(row, "watched")?;
    Ok(Won {
        last_term,
        last_pid: column(row, "leader_pid")?,
        direct: column(row, "was_direct")?,
        wait: rows::duration(row, "wait_ms")?,
        elsewhere: rows::duration(row, "elsewhere_ms")?,
        heard: rows::heard(row)?,
        watched: watched.then(|| rows::counters(row)).transpose()?,
    })
}

fn held(row: &tokio_postgres::Row, term: u64) -> Result<Held, Unanswered> {
    Ok(Held {
        term,
        leader_pid: column(row, "leader_pid")?,
        holder_pid: column(row, "holder_pid")?,
        lease: rows::optional_duration(row, "lease_ms")?,
        stranger: rows::optional_text(row, "strangers")?,
        successor: column(row, "successor")?,
        bar: rows::bar(row)?,
        silent_since: column(row, "silent_since")?,
        counters: rows::counters(row)?,
        watched: column(row, "watched")?,
    })
}
