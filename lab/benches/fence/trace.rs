//! What transactions that only read, and are fenced, leave behind.

use tokio_postgres::{Client, NoTls};

use crate::load::Isolation;
use crate::support::Result;
use crate::support::figures::Marks;
use crate::support::stage::Stage;

const TRANSACTIONS: usize = 1_000;
/// The server writes WAL of its own at times, a transaction's own is in every one of these.
const ROUNDS: usize = 3;

pub(crate) struct Trace {
    wal_bytes: i64,
    transaction_ids: i64,
    dead_rows: i64,
    /// Whether the lock that goes with row locks was taken on the table of terms.
    row_locks: bool,
    /// Whether the term's row was marked by a locker.
    marked: bool,
}

impl Trace {
    pub(crate) async fn leave(stage: &Stage, isolation: Isolation, term: i64) -> Result<Trace> {
        let conninfo = stage.cluster.socket_conninfo();
        let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await?;
        tokio::spawn(connection);
        let fence = format!("SELECT pgleader.fence('fence', {term})");
        let marks = marks(stage, term).await?;
        let dead_before = dead_rows(&client).await?;
        let mut traces = vec![];
        for _ in 0..ROUNDS {
            let before = written(&client).await?;
            for _ in 0..TRANSACTIONS {
                client.batch_execute(isolation.begin()).await?;
                client.batch_execute(&fence).await?;
                client.batch_execute("COMMIT").await?;
            }
            let after = written(&client).await?;
            traces.push((after.0 - before.0, after.1 - before.1));
        }
        client.batch_execute(isolation.begin()).await?;
        client.batch_execute(&fence).await?;
        let row = client
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'pgleader.term'::regclass \
                                AND mode = 'RowShareLock' AND pid = pg_backend_pid())",
                &[],
            )
            .await?;
        let row_locks = row.try_get(0)?;
        client.batch_execute("COMMIT").await?;
        Ok(Trace {
            wal_bytes: traces.iter().map(|trace| trace.0).min().unwrap_or(-1),
            transaction_ids: traces.iter().map(|trace| trace.1).min().unwrap_or(-1),
            dead_rows: dead_rows(&client).await? - dead_before,
            row_locks,
            marked: marks != self::marks(stage, term).await?,
        })
    }
}

/// Bytes of WAL and transaction ids so far.
async fn written(client: &Client) -> Result<(i64, i64)> {
    let statement = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, \
                     pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let row = client.query_one(statement, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Of this schema, once this session has told the server what it did.
async fn dead_rows(client: &Client) -> Result<i64> {
    client
        .query_one("SELECT pg_stat_force_next_flush()", &[])
        .await?;
    let statement =
        "SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables WHERE schemaname = 'pgleader'";
    Ok(client.query_one(statement, &[]).await?.try_get(0)?)
}

/// Who wrote the term's row, and who has locked it last.
async fn marks(stage: &Stage, term: i64) -> Result<String> {
    let statement = "SELECT xmin::text || ' ' || xmax::text FROM pgleader.term WHERE number = $1";
    Ok(stage
        .client
        .query_one(statement, &[&term])
        .await?
        .try_get(0)?)
}

pub(crate) fn rows(traces: &[Trace; 2], marks: &mut Marks) -> Vec<Vec<String>> {
    let mut row = |name: &str, cell: fn(&Trace) -> String, none: &str| {
        let [committed, repeatable] = traces.each_ref().map(cell);
        let figure = f64::from(u8::from(committed != none));
        let judged = marks.judge(name, none, figure, 0.0);
        vec![name.to_owned(), committed, repeatable, judged]
    };
    vec![
        row("WAL bytes", |trace| trace.wal_bytes.to_string(), "0"),
        row(
            "transaction ids",
            |trace| trace.transaction_ids.to_string(),
            "0",
        ),
        row("dead rows", |trace| trace.dead_rows.to_string(), "0"),
        row("a row lock", |trace| yes(trace.row_locks), "no"),
        row("the term's row touched", |trace| yes(trace.marked), "no"),
    ]
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}
