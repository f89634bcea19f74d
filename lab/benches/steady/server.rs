//! What the server counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::support::Result;

/// The database in which the candidates meet.
const DATABASE: &str = "postgres";

pub(crate) struct Sample {
    at: Instant,
    /// Each query of a candidate is a transaction.
    transactions: i64,
    pub(crate) wal_bytes: u64,
    pub(crate) next_transaction_id: u64,
}

impl Sample {
    pub(crate) async fn read(watch: &Client) -> Result<Sample> {
        let statement = "SELECT xact_commit + xact_rollback, (pg_current_wal_insert_lsn() - '0/0')::bigint, \
                         pg_snapshot_xmax(pg_current_snapshot())::text::bigint \
                         FROM pg_stat_database WHERE datname = $1";
        let row = watch.query_one(statement, &[&DATABASE]).await?;
        Ok(Sample {
            at: Instant::now(),
            transactions: row.try_get(0)?,
            wal_bytes: u64::try_from(row.try_get::<_, i64>(1)?)?,
            next_transaction_id: u64::try_from(row.try_get::<_, i64>(2)?)?,
        })
    }
}

/// Transactions a second: the slope of the line through all samples. A backend tells of its transactions about
/// once a second, so the difference between two samples alone would be off by what it had not told yet.
#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
pub(crate) fn rate(samples: &[Sample]) -> f64 {
    let Some(first) = samples.first() else {
        return f64::NAN;
    };
    let count = samples.len() as f64;
    let points = samples.iter().map(|sample| {
        let seconds = sample.at.duration_since(first.at).as_secs_f64();
        (seconds, (sample.transactions - first.transactions) as f64)
    });
    let (x, y) = points
        .clone()
        .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    let (x, y) = (x / count, y / count);
    let (covariance, variance) = points.fold((0.0, 0.0), |sum, point| {
        (
            sum.0 + (point.0 - x) * (point.1 - y),
            sum.1 + (point.0 - x).powi(2),
        )
    });
    covariance / variance
}

/// What the tables of the schema have suffered.
pub(crate) struct Writes {
    pub(crate) rows: u64,
    pub(crate) dead: u64,
}

impl Writes {
    pub(crate) async fn read(client: &Client) -> Result<Writes> {
        let statement = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint, \
                         coalesce(sum(n_dead_tup), 0)::bigint \
                         FROM pg_stat_user_tables WHERE schemaname = 'pgleader'";
        let row = client.query_one(statement, &[]).await?;
        Ok(Writes {
            rows: u64::try_from(row.try_get::<_, i64>(0)?)?,
            dead: u64::try_from(row.try_get::<_, i64>(1)?)?,
        })
    }
}

/// Address and pid of every candidate's session.
pub(crate) async fn backends(watch: &Client) -> Result<BTreeMap<String, i32>> {
    let statement = "SELECT split_part(application_name, ' ', 2), pid FROM pg_stat_activity \
                     WHERE datname = $1 AND application_name LIKE 'pg-leader%'";
    let rows = watch.query(statement, &[&DATABASE]).await?;
    let backends = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    backends.collect()
}

/// Wait until nothing was written for so long. The background writer logs the running transactions once after
/// other writes, at the earliest 15 s after the last time, and sleeps up to 10 s: after 26 s of quiet it has
/// nothing left to say.
pub(crate) async fn until_quiet(watch: &Client, quiet: Duration) -> Result<()> {
    let patience = Instant::now() + quiet * 6;
    let mut last = Sample::read(watch).await?;
    while last.at.elapsed() < quiet && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = Sample::read(watch).await?;
        if now.wal_bytes != last.wal_bytes {
            last = now;
        }
    }
    Ok(())
}
