//! What can go wrong, in words that say what to do next.

use std::error::Error as StdError;
use std::fmt;

type Source = Box<dyn StdError + Send + Sync>;

/// An error of pg-leader: a kind that only its predicates show, and its cause in
/// [`source`](StdError::source).
///
/// Losing an election is an outcome, not an error, and so is the loss of a session after the first: the
/// elector reconnects.
///
/// ```no_run
/// # async fn example() {
/// match pg_leader::Elector::connect("postgres://app@db/app").await {
///     Ok(_elector) => {}
///     Err(error) if error.is_connection() => println!("later, perhaps: {error}"),
///     Err(error) => println!("somebody must do something: {error}"),
/// }
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    source: Option<Source>,
    /// What became of each host, where there are several.
    hosts: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the connection string cannot be used: {0}")]
    Conninfo(String),
    #[error("these settings cannot keep the guarantees: {0}")]
    Settings(String),
    #[error("the hook for fresh credentials failed")]
    Credentials,
    #[error("no server could be reached: {0}")]
    Unreachable(String),
    #[error("the session failed: {0}")]
    Session(String),
    #[error("an answer from the server makes no sense: {0}")]
    Unexpected(String),
    #[error(
        "PostgreSQL 15 or later is needed, and this server is {0}: upgrade it, or use another one"
    )]
    TooOld(String),
    #[error(
        "this server is a standby: connect to the primary, or list all hosts in the connection string \
         with target_session_attrs=read-write"
    )]
    Standby,
    #[error("this server is read-only: connect to one that accepts writes")]
    ReadOnly,
    #[error(
        "a connection pooler stands between this process and the server ({0}): connect directly, or \
         through a pool in session mode that passes startup options on"
    )]
    Pooler(String),
    #[error(
        "this server accepts advisory locks without taking them (a probe lock did not show in pg_locks): \
         it cannot hold a leadership; use PostgreSQL itself"
    )]
    NoLocks,
    #[error(
        "the schema pgleader is missing, and this role has not created it: run pg-leader install, or \
         sql/migrations/*.sql with psql -f, as a role that may create it; then \
         SELECT pgleader.grant_candidate('{role}')"
    )]
    SchemaMissing { role: String },
    #[error(
        "the schema pgleader is not there any more: somebody has dropped or renamed it, or the name leads to \
         another server or database now; this process waits until it is back. A running process installs \
         nothing, for terms would begin again at 1: to begin anew all the same, run pg-leader install"
    )]
    SchemaVanished,
    #[error(
        "the schema pgleader cannot be installed now, for a lock is in the way ({0}): end that transaction, or \
         try again later"
    )]
    SchemaBusy(String),
    #[error(
        "this role may not use the schema pgleader: run SELECT pgleader.grant_candidate('{role}') as its owner"
    )]
    SchemaForbidden { role: String },
    #[error(
        "the schema pgleader has version {found}, this build understands {oldest} to {newest}: {remedy}"
    )]
    SchemaVersion {
        found: i32,
        oldest: i32,
        newest: i32,
        remedy: &'static str,
    },
    #[error(
        "the schema pgleader lacks something that this build asks for ({0}): run \
         pg-leader install --print | psql, or sql/migrations/*.sql with psql -f, as the schema's owner"
    )]
    SchemaIncomplete(String),
    #[error(
        "{message}: run SELECT pgleader.grant_operator('{role}') as the schema's owner \
         (to look only, grant_observer is enough)"
    )]
    NotGranted { message: String, role: String },
    #[error("{0}")]
    NoElection(String),
    #[error("the database refuses: {0}")]
    Refused(String),
    #[error(
        "this process is already a candidate of election \"{0}\": one candidacy per election and elector"
    )]
    AlreadyCandidate(String),
    #[error("an election's name must have 1 to 200 characters, and its address must not be empty")]
    Name,
    #[error("this elector has been shut down: connect a new one")]
    ShutDown,
    #[error("this must be called inside a tokio runtime, on which the work shall run")]
    NoRuntime,
    #[error("this process cannot start another thread")]
    Thread,
    #[error("the fence refuses: {0}")]
    Fenced(String),
    #[error("the fence cannot tell in this transaction: {0}")]
    Serialization(String),
    #[error("the fence does not know this term: {0}")]
    NeverGivenOut(String),
    #[error("the fence guards nothing here: {0}")]
    FenceMisuse(String),
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Error(Box::new(Inner {
            kind,
            source: None,
            hosts: None,
        }))
    }

    pub(crate) fn caused(kind: Kind, source: impl Into<Source>) -> Self {
        Error(Box::new(Inner {
            kind,
            source: Some(source.into()),
            hosts: None,
        }))
    }

    /// The same, of several hosts: what became of each.
    pub(crate) fn of_hosts(mut self, hosts: String) -> Self {
        self.0.hosts = Some(hosts);
        self
    }

    pub(crate) fn hosts(&self) -> Option<&str> {
        self.0.hosts.as_deref()
    }

    pub(crate) fn session(doing: &str, source: tokio_postgres::Error) -> Self {
        let what = match source.as_db_error() {
            Some(db) => format!("{doing}: {} (SQLSTATE {})", db.message(), db.code().code()),
            None => match source.source() {
                Some(cause) => format!("{doing}: {source}: {cause}"),
                None => format!("{doing}: {source}"),
            },
        };
        Error::caused(Kind::Session(what), source)
    }

    /// The SQLSTATE, where the server refused something.
    pub(crate) fn sql_state(&self) -> Option<&str> {
        let cause = self.0.source.as_ref()?;
        let cause: &tokio_postgres::Error = cause.downcast_ref()?;
        cause.code().map(tokio_postgres::error::SqlState::code)
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The connection string or a setting is wrong: trying again does not help.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self.kind(),
            Kind::Conninfo(_) | Kind::Settings(_) | Kind::Name | Kind::NoRuntime
        )
    }

    /// No server could be reached, or the session broke: trying again may help.
    pub fn is_connection(&self) -> bool {
        matches!(
            self.kind(),
            Kind::Unreachable(_) | Kind::Session(_) | Kind::Unexpected(_) | Kind::Credentials
        )
    }

    /// The server was reached and cannot hold a leadership: too old, a standby, read-only, behind a
    /// transaction pooler, or without real advisory locks.
    pub fn is_unfit_server(&self) -> bool {
        matches!(
            self.kind(),
            Kind::TooOld(_) | Kind::Standby | Kind::ReadOnly | Kind::Pooler(_) | Kind::NoLocks
        )
    }

    /// The server is a standby.
    pub fn is_standby(&self) -> bool {
        matches!(self.kind(), Kind::Standby)
    }

    /// A connection pooler is in the way.
    pub fn is_pooler(&self) -> bool {
        matches!(self.kind(), Kind::Pooler(_))
    }

    /// The schema `pgleader` is missing, of another version, not granted to this role, or cannot be installed
    /// now.
    pub fn is_schema(&self) -> bool {
        matches!(
            self.kind(),
            Kind::SchemaMissing { .. }
                | Kind::SchemaVanished
                | Kind::SchemaBusy(_)
                | Kind::SchemaForbidden { .. }
                | Kind::SchemaVersion { .. }
                | Kind::SchemaIncomplete(_)
        )
    }

    /// Nobody has ever joined an election of that name.
    pub fn is_no_election(&self) -> bool {
        matches!(self.kind(), Kind::NoElection(_))
    }

    /// This role may not do that: a grant is missing.
    pub fn is_not_granted(&self) -> bool {
        matches!(
            self.kind(),
            Kind::NotGranted { .. } | Kind::SchemaForbidden { .. }
        )
    }

    /// The database understood what an operator asked for, and refuses it; it says why.
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), Kind::Refused(_))
    }

    /// This process is already a candidate of that election.
    pub fn is_already_candidate(&self) -> bool {
        matches!(self.kind(), Kind::AlreadyCandidate(_))
    }

    /// A fence refused, because the term is over (SQLSTATE `PL001`) or unknown to this server, which may have
    /// lost it in a failover (`PL002`): stop its work, roll back.
    pub fn is_fenced(&self) -> bool {
        matches!(self.kind(), Kind::Fenced(_) | Kind::NeverGivenOut(_))
    }

    /// A fenced transaction's snapshot is too old to tell whether the term is current (SQLSTATE 40001): run
    /// the transaction again.
    pub fn is_serialization_failure(&self) -> bool {
        matches!(self.kind(), Kind::Serialization(_))
    }

    /// A fence was called where it guards nothing: outside a transaction, or on a database that does not
    /// know the term (SQLSTATE 25P01, 42704, `PL002`).
    pub fn is_fence_misuse(&self) -> bool {
        matches!(self.kind(), Kind::FenceMisuse(_) | Kind::NeverGivenOut(_))
    }

    /// The elector has been shut down.
    pub fn is_shut_down(&self) -> bool {
        matches!(self.kind(), Kind::ShutDown)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)?;
        match self.hosts() {
            Some(hosts) => write!(f, " ({hosts})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
