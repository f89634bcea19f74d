//! How elections stand, and what an operator may ask of them.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::config::Config;
use crate::engine::Timings;
use crate::error::{Error, Kind};
use crate::schema;
use crate::session::connect::{self, Session};
use crate::session::operations;
use crate::standing::ElectionState;

/// Looks at elections and asks for changes, without being a candidate. It has a session of its own, and
/// whatever it asks for is recorded in the database: the candidates act on it, not this process.
///
/// Its role needs `pgleader.grant_observer` to look and `pgleader.grant_operator` to change. A session that
/// breaks is not renewed: connect a new one.
///
/// ```no_run
/// # async fn example() -> Result<(), pg_leader::Error> {
/// use pg_leader::Operator;
///
/// let operator = Operator::connect("postgres://operator@db/app").await?;
/// for election in operator.status().await? {
///     println!("{}: {} at {:?}", election.name, election.state, election.address);
/// }
/// if let Some(term) = operator.step_down("billing").await? {
///     println!("term {term} is asked to end");
/// }
/// # Ok(()) }
/// ```
pub struct Operator {
    session: Mutex<Session>,
    role: String,
}

/// How an election stands: a row of `pgleader.status`, and who is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElectionStatus {
    /// The election.
    pub name: String,
    /// Vacant, recovering or leading.
    pub state: ElectionState,
    /// The newest term, 0 before the first.
    pub term: u64,
    /// The leader's address.
    pub address: Option<String>,
    /// The leader's backend.
    pub leader_pid: Option<i32>,
    /// When the election last changed, by the server's clock.
    pub since: SystemTime,
    /// The leader's lease.
    pub lease: Option<Duration>,
    /// The address of the follower that is next in line.
    pub successor: Option<String>,
    /// How many take part, the leader among them.
    pub candidates: u64,
    /// Why nobody leads: `refractory period`, `fenced transactions`, `resume`, `transfer` or `candidates`.
    /// More may be added.
    pub waiting_for: Option<String>,
    /// A session that holds the leadership and is no candidate: nobody can lead until it ends.
    pub stranger: Option<Backend>,
    /// The fenced transactions that the next term waits for, while it does.
    pub fenced: Vec<Backend>,
    /// The database user that has suspended it; `None`: it is not suspended.
    pub suspended_by: Option<String>,
    /// The address of the candidate to which a transfer is under way.
    pub transfer_to: Option<String>,
    /// The addresses that are excluded.
    pub excluded: Vec<String>,
}

/// A live candidate of an election: a row of `pgleader.candidates`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateStatus {
    /// Where it can be reached.
    pub address: String,
    /// Higher comes first when a term ends.
    pub priority: i32,
    /// `leader`, `waiting` (elected, and the last term's work may still run), `successor` or `follower`.
    /// More may be added.
    pub place: String,
    /// Whether its address is excluded.
    pub excluded: bool,
    /// Its lease.
    pub lease: Duration,
    /// Its backend.
    pub pid: i32,
    /// When it joined, by the server's clock.
    pub joined_at: SystemTime,
}

/// A session of somebody. What this role may not see is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backend {
    /// Its process on the server. A prepared transaction has none.
    pub pid: Option<i32>,
    /// The database user.
    pub user: Option<String>,
    /// Its `application_name`.
    pub application: Option<String>,
    /// The address of its client; none on a Unix socket.
    pub client: Option<String>,
    /// When its transaction began.
    pub transaction_since: Option<SystemTime>,
}

/// A term: a row of `pgleader.history`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastTerm {
    /// The election.
    pub election: String,
    /// The term's number.
    pub term: u64,
    /// Its leader's address.
    pub address: String,
    /// When it began.
    pub started_at: SystemTime,
    /// When its work had recovered.
    pub ready_at: Option<SystemTime>,
    /// When it ended; `None`: it goes on.
    pub ended_at: Option<SystemTime>,
    /// `resigned`, `stepped down`, `failed`, `deposed` or `lost`. More may be added.
    pub ending: Option<String>,
    /// How many fenced transactions of earlier terms had to be ended before it could begin.
    pub fenced_ended: u64,
    /// The database user that ended it, where an operator did.
    pub by: Option<String>,
    /// By which lever: `step down`, `transfer`, `suspend`, `exclude` or `depose`.
    pub request: Option<String>,
}

/// What an operator asked for: a row of `pgleader.requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The election.
    pub election: String,
    /// `step down`, `transfer`, `suspend`, `exclude` or `depose`. More may be added. A `resume` ends a
    /// suspension, an `include` an exclusion.
    pub request: String,
    /// The address that is excluded, or to which a transfer goes.
    pub address: Option<String>,
    /// The newest term when it was asked for.
    pub term: u64,
    /// The database user who asked.
    pub by: String,
    /// When, by the server's clock.
    pub at: SystemTime,
    /// The database user who took it back, where somebody did.
    pub ended_by: Option<String>,
    /// Since when it is no more in force; `None`: it is.
    pub ended_at: Option<SystemTime>,
}

/// What [`Operator::install`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installed {
    /// The schema's version before; `None`: there was none.
    pub before: Option<i32>,
    /// Its version now.
    pub now: i32,
}

impl Operator {
    /// Connect as a candidate would: to the first host that is a fit primary. The schema is not looked at.
    ///
    /// # Errors
    ///
    /// When no server can be reached or it is unfit; each says what to do.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a connect that is dropped leaves nothing behind.
    pub async fn connect(config: impl Into<Config>) -> Result<Operator, Error> {
        let session = connect::connect(&config.into(), &timings()?).await?;
        Ok(Operator {
            role: session.role.clone(),
            session: Mutex::new(session),
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
        self.ask(async |client| operations::status(client, &self.role, None).await)
            .await
    }

    /// How one election stands; `None` where nobody has ever joined it.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn status_of(&self, election: &str) -> Result<Option<ElectionStatus>, Error> {
        let asked =
            async |client: &Client| operations::status(client, &self.role, Some(election)).await;
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
        self.ask(async |client| operations::history(client, &self.role, election, limit).await)
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
    ) -> Result<Vec<Request>, Error> {
        self.ask(async |client| operations::requests(client, &self.role, election, limit).await)
            .await
    }

    /// The server's clock, which `status` and `history` are written by.
    ///
    /// # Errors
    ///
    /// When the session broke.
    pub async fn now(&self) -> Result<SystemTime, Error> {
        self.ask(async |client| operations::now(client).await).await
    }

    /// Who takes part in an election: the leader first, then the successor. None where nobody has ever
    /// joined it.
    ///
    /// # Errors
    ///
    /// As [`status`](Operator::status).
    pub async fn candidates(&self, election: &str) -> Result<Vec<CandidateStatus>, Error> {
        self.ask(async |client| operations::candidates(client, &self.role, election).await)
            .await
    }

    /// Ask the leader to give up its term in order. It acts when the notification arrives, at its next
    /// heartbeat at the latest; its work gets the grace. The term that ends; `None` when nobody leads.
    ///
    /// # Errors
    ///
    /// When there is no such election, this role may not, or the session broke.
    pub async fn step_down(&self, election: &str) -> Result<Option<u64>, Error> {
        self.end("SELECT pgleader.step_down($1)", &[election]).await
    }

    /// End the leader's session by force. The next term begins once the work has stopped. The term that
    /// ends; `None` when nobody leads.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down); also when neither this role nor the schema's owner may end that
    /// session.
    pub async fn depose(&self, election: &str) -> Result<Option<u64>, Error> {
        self.end("SELECT pgleader.depose($1)", &[election]).await
    }

    /// Hand the next term to the candidate at `address`; the leader steps down in order. Given up after ten
    /// leases, or when that candidate is gone. The term that ends; `None` when nobody leads, or that
    /// candidate does already.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down); also when that is no live candidate, it is excluded, or the
    /// election is suspended.
    pub async fn transfer(&self, election: &str, address: &str) -> Result<Option<u64>, Error> {
        self.end("SELECT pgleader.transfer($1, $2)", &[election, address])
            .await
    }

    /// The leader gives up in order, and nobody leads until [`resume`](Operator::resume), however often
    /// processes and servers start again. The term that ends; `None` when nobody leads.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn suspend(&self, election: &str) -> Result<Option<u64>, Error> {
        self.end("SELECT pgleader.suspend($1)", &[election]).await
    }

    /// Take a suspension back. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn resume(&self, election: &str) -> Result<bool, Error> {
        self.take_back("SELECT pgleader.resume($1)", &[election])
            .await
    }

    /// The candidate at `address` gives up in order, where it leads, and stays out until
    /// [`include`](Operator::include). It needs not be there yet. The term that ends; `None` when it does not
    /// lead.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn exclude(&self, election: &str, address: &str) -> Result<Option<u64>, Error> {
        self.end("SELECT pgleader.exclude($1, $2)", &[election, address])
            .await
    }

    /// Take an exclusion back. Whether there was one.
    ///
    /// # Errors
    ///
    /// As [`step_down`](Operator::step_down).
    pub async fn include(&self, election: &str, address: &str) -> Result<bool, Error> {
        self.take_back("SELECT pgleader.include($1, $2)", &[election, address])
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
                Err(error) if matches!(error.kind(), Kind::SchemaMissing { .. }) => None,
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

    /// The SQL of [`install`](Operator::install), for `psql`: several transactions, each of which changes
    /// nothing the second time.
    pub fn install_script() -> String {
        schema::MIGRATIONS.join("\n")
    }

    /// One question at a time: whoever asks also drives the session meanwhile.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // The server gives up a statement after 30 s; where no answer can come any more this does.
        let limit = Duration::from_secs(60);
        let mut session = self.session.lock().await;
        let client = session.client.clone();
        let answer = connect::with(&mut session.messages, question(&client));
        let answer = tokio::time::timeout(limit, answer).await;
        answer.unwrap_or_else(|_| {
            Err(Error::new(Kind::Session(format!(
                "no answer within {limit:?}"
            ))))
        })
    }

    async fn end(&self, statement: &str, parameters: &[&str]) -> Result<Option<u64>, Error> {
        self.ask(async |client| {
            operations::term_that_ends(client, &self.role, statement, parameters).await
        })
        .await
    }

    async fn take_back(&self, statement: &str, parameters: &[&str]) -> Result<bool, Error> {
        self.ask(async |client| operations::was_so(client, &self.role, statement, parameters).await)
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
