//! A pooler between: whether each of its clients keeps a backend of its own.
//!
//! Shown by what it does, not by its settings: two clients of ours come and go in every order in which a pool that
//! shares backends would swap theirs. In statement and transaction mode somebody meets a backend that is not his.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::wire::Wire;
use crate::error::{Error, Kind};

/// A pool that takes any idle backend at random is found out in each with odds of 15 in 16.
pub(crate) const ROUNDS: usize = 3;

/// Where settings of ours follow, which would harm whoever shares that backend.
pub(crate) const MORE_ROUNDS: usize = 6;

/// Whether pgpool-II is between. It answers this itself; PostgreSQL knows no such setting.
pub(crate) async fn is_pgpool(client: &Client) -> Result<bool, Error> {
    match client.simple_query("SHOW pool_version").await {
        Ok(answer) => Ok(answer
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(_)))),
        Err(error) if error.as_db_error().is_some() => Ok(false),
        Err(error) => Err(Error::session("asking for pgpool-II", error)),
    }
}

/// Hazard: a backend that is given to whoever asks next takes its locks along, so two clients would hold one
/// leadership.
///
/// `second` opens another connection of the same kind; `limit` is the time for all of it.
pub(crate) async fn keeps_backends(
    wire: &mut Wire,
    pid: i32,
    rounds: usize,
    second: impl Future<Output = Result<Wire, Error>>,
    limit: Duration,
) -> Result<(), Error> {
    let client = Arc::clone(wire.client());
    let trial = async {
        let mut second = second.await.map_err(untried)?;
        let other = Arc::clone(second.client());
        let trial = second.drive(swap(&client, pid, &other, rounds));
        wire.drive(trial).await
    };
    tokio::time::timeout(limit, trial).await.map_err(|_| {
        pooler(
            "whether each client keeps a backend of its own could not be tried: a second connection was not \
             served in time. Let its pool have room for two more connections than there are candidates \
             (default_pool_size in PgBouncer), and connect_timeout time for some fifty round trips"
                .to_owned(),
        )
    })?
}

async fn swap(client: &Client, pid: i32, other: &Client, rounds: usize) -> Result<(), Error> {
    let ours = One { client, pid };
    let its_pid = ask(other, "BEGIN; SELECT pg_backend_pid()").await?;
    if its_pid == pid {
        return Err(shared());
    }
    let its = One {
        client: other,
        pid: its_pid,
    };
    for _ in 0..rounds {
        // While the other holds a backend in a transaction, again and again.
        ours.keeps("SELECT pg_backend_pid()").await?;
        ours.keeps("SELECT pg_backend_pid()").await?;
        its.keeps("SELECT pg_backend_pid(); COMMIT").await?;
        // Whose backend was let go last is the other's turn to be given, and first, in turn.
        ours.keeps("BEGIN; SELECT pg_backend_pid()").await?;
        its.keeps("SELECT pg_backend_pid()").await?;
        ours.keeps("SELECT pg_backend_pid(); COMMIT").await?;
        its.keeps("SELECT pg_backend_pid()").await?;
        its.keeps("BEGIN; SELECT pg_backend_pid()").await?;
    }
    its.keeps("SELECT pg_backend_pid(); COMMIT").await
}

/// A client and the backend that it has met first.
struct One<'a> {
    client: &'a Client,
    pid: i32,
}

impl One<'_> {
    async fn keeps(&self, statements: &str) -> Result<(), Error> {
        if ask(self.client, statements).await? == self.pid {
            Ok(())
        } else {
            Err(shared())
        }
    }
}

async fn ask(client: &Client, statements: &str) -> Result<i32, Error> {
    let answer = client
        .simple_query(statements)
        .await
        .map_err(|error| untried(Error::session("trying a pooler", error)))?;
    let pid = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    pid.ok_or_else(|| Error::new(Kind::Unexpected("no pid".to_owned())))
}

fn shared() -> Error {
    pooler(
        "it gives a backend to one client after another, as in transaction mode, and the locks with it".to_owned(),
    )
}

/// What a second connection failed with is told, and is not the end of the matter where the server is down.
fn untried(error: Error) -> Error {
    match error.what() {
        Kind::Unreachable(_) => error,
        _ => pooler(format!(
            "whether each client keeps a backend of its own could not be tried: {error}"
        )),
    }
}

fn pooler(why: String) -> Error {
    Error::new(Kind::Pooler(why))
}
