//! Fenced transactions of a term. They go on when its work is over, as if nobody had told them: the fence must.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pg_leader::{ErrorKind, Term};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::{Diary, Task, lock};
use crate::record::{Entry, now};

/// So long after the end of its term a writer tries to write all the same.
const STUBBORN: Duration = Duration::from_secs(10);

/// Between two transactions. Who is stopped within one has to be waited for.
const PACE: Duration = Duration::from_millis(60);

/// After a connection was lost.
const AGAIN: Duration = Duration::from_millis(50);

/// So many transactions of a process at once, at most: a server has room for a hundred sessions.
const CLIENTS: usize = 6;

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

/// Of a process, for all of its terms.
#[derive(Clone)]
pub(super) struct Writer {
    conninfo: String,
    diary: Diary,
    /// Between two transactions of a term that goes on.
    pace: Duration,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Line>>>,
}

/// A connection is gone with its client, whatever its network does.
struct Line {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Until the fence refuses, or nobody has heard of the term for long.
pub(super) async fn write(writer: Writer, term: Term) {
    let mut ending = pin!(term.ending());
    let (mut told, mut over_since): (bool, Option<Instant>) = (false, None);
    while over_since.is_none_or(|since| since.elapsed() < STUBBORN) {
        let pace = match writer.write_in_turn(&term).await {
            Ok(()) if told => PACE,
            Ok(()) => writer.pace,
            Err(Lost::Refused) => {
                let (election, term) = (term.election().to_owned(), term.number());
                writer.diary.write(&Entry::Refused {
                    at: now(),
                    election,
                    term,
                });
                return;
            }
            Err(Lost::Connection) => AGAIN,
        };
        // The fence is tried at the end, also by who writes seldom.
        tokio::select! {
            () = &mut ending, if !told && pace > PACE => told = true,
            () = tokio::time::sleep(pace) => {}
        }
        if over_since.is_none() && !term.is_current() {
            over_since = Some(Instant::now());
        }
    }
}

impl Writer {
    pub(super) fn new(task: &Task, diary: &Diary) -> Writer {
        Writer {
            conninfo: task.conninfo.clone(),
            diary: diary.clone(),
            pace: PACE * task.stretch(),
            turns: Arc::new(Semaphore::new(CLIENTS)),
            idle: Arc::default(),
        }
    }

    /// A client that has lost its connection, or gets no answer, is not used again.
    async fn write_in_turn(&self, term: &Term) -> Result<(), Lost> {
        let _turn = self.turns.acquire().await;
        let write = async {
            let mut line = self.line().await?;
            let wrote = self.write_once(&mut line.client, term).await;
            if !matches!(wrote, Err(Lost::Connection)) {
                lock(&self.idle).push(line);
            }
            wrote
        };
        let wrote = tokio::time::timeout(STUBBORN, write).await;
        let wrote = wrote.unwrap_or(Err(Lost::Connection));
        // Else hundreds of terms knock at once at a server that is away, and keep it from coming back.
        if matches!(wrote, Err(Lost::Connection)) && self.pace > PACE {
            tokio::time::sleep(AGAIN * CLIENTS as u32).await;
        }
        wrote
    }

    async fn line(&self) -> Result<Line, Lost> {
        while let Some(line) = { lock(&self.idle).pop() } {
            if !line.client.is_closed() {
                return Ok(line);
            }
        }
        let (client, connection) = tokio_postgres::connect(&self.conninfo, NoTls).await?;
        let connection = tokio::spawn(async { drop(connection.await) });
        Ok(Line { client, connection })
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
