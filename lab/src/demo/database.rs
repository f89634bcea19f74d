//! The server that the election is held on: one of our own, or one that was named.

use pg_leader::testing::Cluster;
use pg_leader::{Config, Elector};
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::{Error, LEASE};

pub(crate) struct Database {
    url: String,
    election: String,
    /// Ours, to crash.
    cluster: Option<Cluster>,
}

impl Database {
    /// The one at `url`, else a cluster of our own. Proved fit, with the schema installed.
    pub(crate) async fn prepare(url: Option<&str>) -> Result<Database, Error> {
        let database = match url {
            // On somebody's server other demos may be running, on other machines too.
            Some(url) => Database {
                url: url.to_owned(),
                election: format!("demo-{:08x}", random()),
                cluster: None,
            },
            None => {
                // Not on this thread: a signal must be heard meanwhile.
                let cluster = tokio::task::spawn_blocking(Cluster::start).await??;
                Database {
                    url: cluster.url(),
                    election: "demo".to_owned(),
                    cluster: Some(cluster),
                }
            }
        };
        let elector = Elector::connect(Config::new(&database.url).lease(LEASE)).await?;
        elector.shutdown().await;
        Ok(database)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn election(&self) -> &str {
        &self.election
    }

    /// Ours alone may be crashed.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// What it is, in a few words.
    pub(crate) async fn describe(&self) -> Result<String, Error> {
        let query = "SELECT split_part(current_setting('server_version'), ' ', 1)";
        let client = self.client().await?;
        let row = client.query_one(query, &[]).await.map_err(explain)?;
        let version: String = row.try_get(0)?;
        let whose = match self.cluster {
            Some(_) => "a throw-away cluster",
            None => "DATABASE_URL",
        };
        Ok(format!("PostgreSQL {version}, {whose}"))
    }

    pub(crate) async fn client(&self) -> Result<Client, Error> {
        connect(&self.url).await.map_err(explain)
    }

    /// Ask the leader to step down, as an operator does from psql.
    pub(crate) async fn step_down(&self) -> Result<(), Error> {
        let statement = "SELECT pgleader.step_down($1) IS NOT NULL";
        self.operate(statement).await.map_err(|error| {
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                let what = explain(error);
                let remedy =
                    "SELECT pgleader.grant_operator(…) for this role, as the schema's owner";
                return format!("{what}: run {remedy}").into();
            }
            explain(error)
        })
    }

    /// End the leader's session. Where the schema's owner may not, this role may: the session is its own.
    pub(crate) async fn kill_session(&self) -> Result<(), Error> {
        let depose = "SELECT pgleader.depose($1) IS NOT NULL";
        let terminate =
            "SELECT pg_terminate_backend(leader_pid) FROM pgleader.status WHERE name = $1";
        match self.operate(depose).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                self.operate(terminate).await.map_err(explain)
            }
            done => done.map_err(explain),
        }
    }

    async fn operate(&self, statement: &str) -> Result<(), tokio_postgres::Error> {
        let client = connect(&self.url).await?;
        client.query_one(statement, &[&self.election]).await?;
        Ok(())
    }

    /// Whether the session of a term was known to be direct; the views do not tell, and the table may be
    /// read by its owner alone.
    pub(crate) async fn is_direct(&self, term: i64) -> Result<bool, Error> {
        let query = "SELECT t.direct FROM pgleader.term AS t JOIN pgleader.election AS e ON e.id = t.election_id \
                     WHERE e.name = $1 AND t.number = $2";
        let client = self.client().await?;
        let row = client.query_one(query, &[&self.election, &term]).await;
        Ok(row.is_ok_and(|row| row.get(0)))
    }

    /// How psql reaches it. Without the password: psql asks.
    pub(crate) fn psql(&self) -> Result<String, Error> {
        let config: tokio_postgres::Config = self.url.parse()?;
        let hosts = config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(directory) => directory.display().to_string(),
        });
        let ports = config.get_ports().iter().map(u16::to_string);
        let options = [
            ("-h", hosts.collect::<Vec<_>>().join(",")),
            ("-p", ports.collect::<Vec<_>>().join(",")),
            ("-U", config.get_user().unwrap_or_default().to_owned()),
            ("-d", config.get_dbname().unwrap_or_default().to_owned()),
        ];
        let mut command = "psql".to_owned();
        for (option, value) in options {
            if !value.is_empty() {
                command.push_str(&format!(" {option} {}", quoted(&value)));
            }
        }
        Ok(command)
    }
}

/// A connection of the demo's own, next to those of the candidates.
pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// With what the server says, and its advice.
pub(crate) fn explain(error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(db) => match db.hint() {
            Some(hint) => format!("{} ({hint})", db.message()).into(),
            None => db.message().into(),
        },
        None => std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |source| format!("{error} ({source})"))
            .into(),
    }
}

/// For a shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,/:".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

/// From the seed of the standard library's maps, which differs in every process.
fn random() -> u32 {
    use std::hash::BuildHasher;
    let hash = std::hash::RandomState::new().hash_one(std::process::id());
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn psql(url: &str) -> String {
        let database = Database {
            url: url.to_owned(),
            election: String::new(),
            cluster: None,
        };
        database.psql().unwrap()
    }

    #[test]
    fn psql_is_told_what_the_url_says_but_the_password() {
        assert_eq!(
            psql("postgres://me:secret@db:5433/app"),
            "psql -h db -p 5433 -U me -d app"
        );
        assert_eq!(
            psql(r"host=/tmp user='it\'s me'"),
            r"psql -h /tmp -U 'it'\''s me'"
        );
    }
}
