//! How elections stand, and what an operator may ask of them.

mod questions;
mod status;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::config::Config;
use crate::connection::{Connection, connect_to_ask, schema};
use crate::engine::Timings;
use crate::error::{Error, Kind};
use questions::Words;
pub use status::{
    Backend, CandidateStatus, ElectionStatus, LeverAnswer, PastRequest, PastTerm, Stranger,
};
pub use words::{CandidatePlace, HeldLock, Lever, TermEnding};

/// The server gives up a statement after 30 s; where no answer can come any more this does.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Looks at elections and asks for changes, without being a candidate. It has a session of its own, and
/// whatever it asks for is recorded in the database: the candidates act on it, not this process.
///
/// Its role needs `pgleader.grant_observer` to look and `pgleader.grant_operator` to change. A session that
/// breaks is not renewed: connect a new one.
///
/// ```no_run
/// # async fn example() -> Result<(), pg_leader::Error> {
/// use pg_leader::operator::Operator;
///
/// let operator = Operator::connect("postgres://operator@db/app").await?;
/// for election in operator.status().await? {
///     println!("{}: {} at {:?}", election.name, election.state, election.address);
/// }
/// let asked = operator.step_down("billing", Some("maintenance")).await?;
/// if let Some(term) = asked.term {
///     println!("term {term} is asked to end");
/// }
/// # Ok(()) }
/// ```
pub struct Operator {
    connection: Mutex<Connection>,
    role: String,
}

/// What [`Operator::install`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Installed {
    /// The schema's version before; `None`: there was none.
    pub before: Option<i32>,
    /// Its version now.
    pub now: i32,
}

impl Operator {
    /// Connect to the first host that is a primary. A pool may be between, in any mode: each statement stands for
    /// itself. The schema is not looked at.
    ///
    /// # Errors
    ///
    /// When no server can be reached or it is unfit; each says what to do.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connect that is dropped leaves nothing behind.
    pub async fn connect(config: impl Into<Config>) -> Result<Operator, Error> {
        let connection = connect_to_ask(&config.into(), &timings()?).await?;
        Ok(Operator {
            role: connection.role.clone(),
            connection: Mutex::new(connection),
        })
    }

    /// How every election of this database stands, by name.
    ///
    /// # Errors
    ///
    /// When the schema is missing or not granted to this role, or the session broke.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. So are all methods here; but what a lever has asked for may be in force already.
    pub async fn status(&self) -> Result<Vec<ElectionStatus>, Error> {
        self.ask(async |client| questions::status(client, &self.role, None).await)
            .await
    }

    /// How one election stands; `None` where nobody has ever joined it.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn status_of(&self, election: &str) -> Result<Option<ElectionStatus>, Error> {
        let asked =
            async |client: &Client| questions::status(client, &self.role, Some(election)).await;
        Ok(self.ask(asked).await?.pop())
    }

    /// The newest terms of one election, or of all, the newest first; `limit` at most. The database keeps
    /// the last 1,000 of each.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn history(
        &self,
        election: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PastTerm>, Error> {
        self.ask(async |client| questions::history(client, &self.role, election, limit).await)
            .await
    }

    /// What operators asked of one election, or of all, the newest first; `limit` at most. The database keeps
    /// them as long as the terms they were about.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn requests(
        &self,
        election: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PastRequest>, Error> {
        self.ask(async |client| questions::requests(client, &self.role, election, limit).await)
            .await
    }

    /// The server's clock, which `status` and `history` are written by.
    ///
    /// # Errors
    ///
    /// When the session broke.
    pub async fn now(&self) -> Result<SystemTime, Error> {
        self.ask(async |client| questions::now(client).await).await
    }

    /// Who takes part in an election: the leader first, then the successor. None where nobody has ever
    /// joined it.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn candidates(&self, election: &str) -> Result<Vec<CandidateStatus>, Error> {
        self.ask(async |client| questions::candidates(client, &self.role, election).await)
            .await
    }

    /// Ask the leader to give up its term in order. It acts when the notification arrives, at its next
    /// heartbeat at the latest; its work gets the grace, where it is graceful. Nothing is asked for when nobody leads.
    ///
    /// A `reason` has 1 to 1,000 characters, here and in all other levers; [`requests`](Operator::requests) and
    /// [`history`](Operator::history) show it.
    ///
    /// # Errors
    ///
    /// When there is no such election, this role may not, or the session broke.
    pub async fn step_down(
        &self,
        election: &str,
        reason: Option<&str>,
    ) -> Result<LeverAnswer, Error> {
        let statement = "SELECT id, term FROM pgleader.step_down($1, $2)";
        self.end(statement, &[&election, &reason]).await
    }

    /// End the leader's session by force. The next term begins once the work has stopped. Nothing is asked for when
    /// nobody leads.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down); also when neither this role nor the schema's owner may end that
    /// session.
    pub async fn depose(&self, election: &str, reason: Option<&str>) -> Result<LeverAnswer, Error> {
        let statement = "SELECT id, term FROM pgleader.depose($1, $2)";
        self.end(statement, &[&election, &reason]).await
    }

    /// Hand the next term to the candidate at `address`; the leader steps down in order. Given up after ten
    /// leases, or when that candidate is gone. Nothing is asked for when that candidate leads already.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down); also when that is no live candidate, it is excluded, or the
    /// election is suspended.
    pub async fn transfer(
        &self,
        election: &str,
        address: &str,
        reason: Option<&str>,
    ) -> Result<LeverAnswer, Error> {
        let statement = "SELECT id, term FROM pgleader.transfer($1, $2, $3)";
        self.end(statement, &[&election, &address, &reason]).await
    }

    /// The leader gives up in order, and nobody leads until [`resume`](Operator::resume), however often
    /// processes and servers start again. Where it is suspended already the answer is the request in force.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn suspend(
        &self,
        election: &str,
        reason: Option<&str>,
    ) -> Result<LeverAnswer, Error> {
        let statement = "SELECT id, term FROM pgleader.suspend($1, $2)";
        self.end(statement, &[&election, &reason]).await
    }

    /// Take a suspension back. The id of the request that was in force; `None`: it was not suspended.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn resume(&self, election: &str, reason: Option<&str>) -> Result<Option<i64>, Error> {
        let statement = "SELECT pgleader.resume($1, $2)";
        self.take_back(statement, &[&election, &reason]).await
    }

    /// The candidate at `address` gives up in order, where it leads, and stays out until
    /// [`include`](Operator::include). It needs not be there yet. Where it is excluded already the answer is the
    /// request in force.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn exclude(
        &self,
        election: &str,
        address: &str,
        reason: Option<&str>,
    ) -> Result<LeverAnswer, Error> {
        let statement = "SELECT id, term FROM pgleader.exclude($1, $2, $3)";
        self.end(statement, &[&election, &address, &reason]).await
    }

    /// Take an exclusion back. The id of the request that was in force; `None`: it was not excluded.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn include(
        &self,
        election: &str,
        address: &str,
        reason: Option<&str>,
    ) -> Result<Option<i64>, Error> {
        let statement = "SELECT pgleader.include($1, $2, $3)";
        self.take_back(statement, &[&election, &address, &reason])
            .await
    }

    /// Install the schema, or what a later version has added. One that is of this build's version, or of a
    /// newer one, is left as it is.
    ///
    /// # Errors
    ///
    /// When this role may not, or the schema is of a generation that this build does not understand.
    pub async fn install(&self) -> Result<Installed, Error> {
        let installing = async |client: &Client| {
            let before = match schema::version(client, &self.role).await {
                Ok(version) => Some(version),
                Err(error) if matches!(error.what(), Kind::SchemaMissing { .. }) => None,
                Err(error) => return Err(error),
            };
            // Nothing is changed under those who work, and a newer schema's functions are not replaced by older ones.
            if before.is_none_or(schema::is_older) {
                schema::install(client, &self.role).await?;
            }
            schema::check(client, &self.role).await?;
            let now = schema::version(client, &self.role).await?;
            Ok(Installed { before, now })
        };
        self.ask(installing).await
    }

    /// The SQL of [`install`](Operator::install), for `psql`: one transaction, which changes nothing the second
    /// time.
    pub fn install_script() -> String {
        schema::SCRIPT.to_owned()
    }

    /// One question at a time: whoever asks also drives the session meanwhile.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = self.connection.lock().await;
        let client = Arc::clone(connection.wire.client());
        let answer = connection.wire.drive(question(&client));
        let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await;
        answer.unwrap_or_else(|_| {
            Err(Error::new(Kind::Session(format!(
                "no answer within {ANSWER_LIMIT:?}"
            ))))
        })
    }

    async fn end(&self, statement: &str, words: &[Words<'_>]) -> Result<LeverAnswer, Error> {
        self.ask(async |client| questions::lever(client, &self.role, statement, words).await)
            .await
    }

    async fn take_back(&self, statement: &str, words: &[Words<'_>]) -> Result<Option<i64>, Error> {
        self.ask(async |client| questions::take_back(client, &self.role, statement, words).await)
            .await
    }
}

/// Nobody relies on an operator's session: it may be slow, and idle for days.
fn timings() -> Result<Timings, Error> {
    let day = Duration::from_secs(86_400);
    Timings::new(Duration::from_secs(30), day, Duration::ZERO)
        .map_err(|incoherent| Error::new(Kind::Settings(incoherent.to_string())))
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
