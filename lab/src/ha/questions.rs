//! What is asked of the servers beside the candidates.

use std::time::Duration;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::trial::ELECTION;
use crate::Result;

const PATIENCE: Duration = Duration::from_secs(3);

/// What a server says, or nothing within its time.
pub(super) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio::time::timeout(PATIENCE, tokio_postgres::connect(url, NoTls)).await??;
    tokio::spawn(connection);
    Ok(client)
}

pub(super) async fn execute(url: &str, statement: &str) -> Result<()> {
    let client = connect(url).await?;
    tokio::time::timeout(PATIENCE, client.batch_execute(statement)).await??;
    Ok(())
}

/// The first field of the first row.
pub(super) async fn ask(url: &str, query: &str) -> Result<Option<String>> {
    let client = connect(url).await?;
    let messages = tokio::time::timeout(PATIENCE, client.simple_query(query)).await??;
    Ok(messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

/// The words with which a term's transactions pass its fence.
pub(super) async fn fence_of(url: &str, term: i64) -> Result<String> {
    let query = format!(
        "SELECT t.token FROM pgleader.term AS t JOIN pgleader.election AS e ON e.id = t.election_id \
         WHERE e.name = '{ELECTION}' AND t.number = {term}"
    );
    let token = ask(url, &query)
        .await?
        .ok_or_else(|| format!("no term {term} on record"))?;
    Ok(format!(
        "SELECT pgleader.fence('{ELECTION}', {term}, '{token}')"
    ))
}

/// What a fence that should refuse says: its SQLSTATE, `None` where it lets the term pass.
pub(super) async fn refusal(url: &str, fence: &str) -> Result<Option<String>> {
    let client = connect(url).await?;
    let answer = tokio::time::timeout(
        PATIENCE,
        client.batch_execute(&format!("BEGIN; {fence}; COMMIT")),
    )
    .await?;
    match answer {
        Ok(()) => Ok(None),
        Err(error) => match error.code() {
            Some(code) => Ok(Some(code.code().to_owned())),
            None => Err(error.into()),
        },
    }
}

/// A transaction that has passed the fence of a term, and stays open.
pub(super) struct Open {
    client: Client,
    name: String,
}

impl Open {
    pub(super) async fn begin(url: &str, fence: &str, term: i64) -> Result<Open> {
        let client = connect(url).await?;
        let name = format!("open-{}", fastrand::u64(..));
        let statements = format!(
            "BEGIN; {fence}; \
             INSERT INTO fenced (election, term, process) VALUES ('{ELECTION}', {term}, '{name}')"
        );
        client.batch_execute(&statements).await?;
        Ok(Open { client, name })
    }

    /// What its commit comes to.
    pub(super) async fn commit(&self) -> &'static str {
        match tokio::time::timeout(PATIENCE, self.client.batch_execute("COMMIT")).await {
            Ok(Ok(())) => "committed",
            Ok(Err(error)) if error.code().is_some() => "refused",
            Ok(Err(_)) => "cut off",
            Err(_) => "unanswered",
        }
    }

    /// Whether its row is on this server.
    pub(super) async fn is_on(&self, url: &str) -> Result<bool> {
        let query = format!("SELECT 1 FROM fenced WHERE process = '{}'", self.name);
        Ok(ask(url, &query).await?.is_some())
    }
}

/// How many fenced rows a later term did not see when it began to write: none, or the fence leaks.
pub(super) async fn leaked(url: &str) -> Result<u64> {
    let query = format!(
        "SELECT count(*) FROM fenced AS old JOIN (SELECT DISTINCT ON (term) term, snapshot FROM fenced \
         WHERE election = '{ELECTION}' ORDER BY term, sequence) AS new ON old.term < new.term \
         WHERE old.election = '{ELECTION}' AND NOT pg_visible_in_snapshot(old.transaction, new.snapshot)"
    );
    Ok(ask(url, &query).await?.unwrap_or_default().parse()?)
}
