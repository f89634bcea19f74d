//! Fenced transactions of a term. They go on when its work is over, as if nobody had told them: the fence must.

use std::time::{Duration, Instant};

use pg_leader::{ErrorKind, Term};
use tokio_postgres::{Client, NoTls};

use super::Diary;
use crate::record::{Entry, now};

/// So long after the end of its term a writer tries to write all the same.
const STUBBORN: Duration = Duration::from_secs(10);

/// Between two transactions. Who is stopped within one has to be waited for.
const PACE: Duration = Duration::from_millis(60);

/// The table of what they write. Its defaults are what the judge of invariant 3 needs.
pub const TABLE: &str = "CREATE TABLE fenced (
    sequence bigserial PRIMARY KEY,
    election text NOT NULL,
    term bigint NOT NULL,
    process text NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot()
)";

const INSERT: &str =
    "INSERT INTO fenced (election, term, process) VALUES ($1, $2, $3) RETURNING sequence";

#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) conninfo: String,
    pub(super) diary: Diary,
}

/// Until the fence refuses, or nobody has heard of the term for long.
pub(super) async fn write(writer: Writer, term: Term) {
    let mut over_since: Option<Instant> = None;
    while over_since.is_none_or(|since| since.elapsed() < STUBBORN) {
        if let Ok((client, connection)) = tokio_postgres::connect(&writer.conninfo, NoTls).await {
            let connection = tokio::spawn(connection);
            let refused = writer.write_until_refused(client, &term).await;
            connection.abort();
            if refused {
                let (election, term) = (term.election().to_owned(), term.number());
                writer.diary.write(&Entry::Refused {
                    at: now(),
                    election,
                    term,
                });
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if over_since.is_none() && !term.is_current() {
            over_since = Some(Instant::now());
        }
    }
}

impl Writer {
    /// True when the fence has refused; false when the connection is lost, or gives no answer.
    async fn write_until_refused(&self, mut client: Client, term: &Term) -> bool {
        loop {
            match tokio::time::timeout(STUBBORN, self.write_once(&mut client, term)).await {
                Ok(Ok(())) => {}
                Ok(Err(Lost::Refused)) => return true,
                Ok(Err(Lost::Connection)) | Err(_) => return false,
            }
            tokio::time::sleep(PACE).await;
        }
    }

    async fn write_once(&self, client: &mut Client, term: &Term) -> Result<(), Lost> {
        let (election, number) = (term.election().to_owned(), term.number());
        let transaction = client.transaction().await?;
        self.diary.write(&Entry::Fences {
            at: now(),
            election: election.clone(),
            term: number,
        });
        term.fence(&transaction)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Fenced | ErrorKind::UnknownTerm | ErrorKind::FenceMisuse => {
                    Lost::Refused
                }
                _ => Lost::Connection,
            })?;
        let row = transaction
            .query_one(INSERT, &[&election, term, &self.diary.address])
            .await?;
        let sequence = row.try_get(0)?;
        // Some transactions are long, and a few outlast the lease.
        let pause = match fastrand::u32(..2000) {
            0 => 2500,
            1..20 => 200,
            _ => fastrand::u64(..5),
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // Of the time before it: what is committed later was committed on the server that there was then, or later.
        let at = now();
        transaction.commit().await?;
        self.diary.write(&Entry::Wrote {
            at,
            election,
            term: number,
            sequence,
        });
        Ok(())
    }
}

enum Lost {
    Refused,
    Connection,
}

impl From<tokio_postgres::Error> for Lost {
    fn from(_: tokio_postgres::Error) -> Lost {
        Lost::Connection
    }
}
