//! What can go wrong, in words that say what to do next.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::error::DbError;

use crate::shown::shown;

type Source = Box<dyn StdError + Send + Sync>;

/// An error of pg-leader: its [kind](Error::kind), words that say what to do next, and its cause in
/// [`source`](StdError::source).
///
/// Losing an election is an outcome, not an error, and so is the loss of a session after the first: the
/// elector reconnects.
///
/// ```no_run
/// # async fn example() {
/// match pg_leader::Elector::connect("postgres://app@db/app").await {
///     Ok(_elector) => {}
///     Err(error) if error.is_retryable() => println!("later, perhaps: {error}"),
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

/// An error a line: what it is, what it knows, and its words.
macro_rules! kinds {
    ($($kind:ident $(($what:ident: $type:ty))? $({ $($field:ident: $of:ty),+ })? => $words:literal,)+) => {
        #[derive(Debug)]
        pub(crate) enum Kind {
            $($kind $(($type))? $({ $($field: $of),+ })?,)+
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Kind::$kind $(($what))? $({ $($field),+ })? => write!(f, $words),)+
                }
            }
        }
    };
}

kinds! {
    Conninfo(what: String) => "the connection string cannot be used: {what}",
    Settings(what: String) => "these settings cannot keep the guarantees: {what}",
    Credentials => "the hook for fresh credentials failed",
    Unreachable(what: String) =>
        "no server could be reached: {what}: look at the host and the port, and whether a server runs there",
    Session(what: String) => "the session failed: {what}",
    Unexpected(what: String) => "an answer from the server makes no sense: {what}",
    Denied { what: String, remedy: &'static str } => "it was denied: {what}: {remedy}",
    TooOld(what: String) =>
        "PostgreSQL 15 or later is needed, and this server is {what}: upgrade it, or use another one",
    Standby =>
        "this server is a standby: connect to the primary, or list all hosts in the connection string \
        with target_session_attrs=read-write",
    ReadOnly => "this server is read-only: connect to one that accepts writes",
    Pooler(what: String) =>
        "a connection pooler stands between this process and the server ({what}): connect directly, or \
        through a pool in session mode",
    NoLocks =>
        "this server accepts advisory locks without taking them (a probe lock did not show in pg_locks): \
        it cannot hold a leadership; use PostgreSQL itself",
    SchemaMissing { role: String } =>
        "the schema pgleader is missing, and this role has not created it: run pg-leader install, or \
        pg-leader install --print | psql, as a role that may create it; then \
        SELECT pgleader.grant_candidate('{role}')",
    SchemaVanished =>
        "the schema pgleader is not there any more: somebody has dropped or renamed it, or the name leads to \
        another server or database now; this process waits until it is back. A running process installs \
        nothing, for terms would begin again at 1: to begin anew all the same, run pg-leader install",
    SchemaBusy(what: String) =>
        "the schema pgleader cannot be installed now, for a lock is in the way ({what}): end that transaction, or \
        try again later",
    SchemaForbidden { role: String } =>
        "this role may not use the schema pgleader: run SELECT pgleader.grant_candidate('{role}') as its owner",
    SchemaVersion { found: i32, oldest: i32, newest: i32, remedy: &'static str } =>
        "the schema pgleader has version {found}, this build understands {oldest} to {newest}: {remedy}",
    SchemaIncomplete(what: String) =>
        "the schema pgleader lacks something that this build asks for ({what}): run \
        pg-leader install --print | psql, as the schema's owner",
    NotGranted { message: String, role: String } =>
        "{message}: run SELECT pgleader.grant_operator('{role}') as the schema's owner \
        (to look only, grant_observer is enough)",
    NoElection(what: String) => "{what}",
    Refused(what: String) => "the database refuses: {what}",
    AlreadyCandidate(what: String) =>
        "this process is already a candidate of election \"{what}\": one candidacy per election and elector",
    Name(what: String) => "{what}",
    ShutDown => "this elector has been shut down: connect a new one",
    NoRuntime => "this must be called inside a tokio runtime, on which the work shall run",
    Thread => "this process cannot start another thread",
    Fenced(what: String) => "the fence refuses: {what}",
    Serialization(what: String) => "the fence cannot tell in this transaction: {what}",
    NeverGivenOut(what: String) => "the fence does not know this term: {what}",
    FenceMisuse(what: String) => "the fence guards nothing here: {what}",
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
        Error::caused(Kind::Session(failed(doing, &source)), source)
    }

    /// The SQLSTATE, where the server refused something.
    pub(crate) fn sql_state(&self) -> Option<&str> {
        let cause = self.0.source.as_ref()?;
        let cause: &tokio_postgres::Error = cause.downcast_ref()?;
        cause.code().map(tokio_postgres::error::SqlState::code)
    }

    pub(crate) fn what(&self) -> &Kind {
        &self.0.kind
    }

    /// What kind of error it is: for what a program does about it. The text is for people.
    pub fn kind(&self) -> ErrorKind {
        match self.what() {
            Kind::Conninfo(_) | Kind::Settings(_) | Kind::Name(_) | Kind::NoRuntime => {
                ErrorKind::Configuration
            }
            Kind::Credentials | Kind::Unreachable(_) | Kind::Session(_) | Kind::Unexpected(_) => {
                ErrorKind::Connection
            }
            Kind::Denied { .. } => ErrorKind::Denied,
            Kind::TooOld(_) | Kind::ReadOnly | Kind::NoLocks => ErrorKind::UnfitServer,
            Kind::Standby => ErrorKind::Standby,
            Kind::Pooler(_) => ErrorKind::Pooler,
            Kind::SchemaMissing { .. }
            | Kind::SchemaVanished
            | Kind::SchemaVersion { .. }
            | Kind::SchemaIncomplete(_) => ErrorKind::Schema,
            Kind::SchemaBusy(_) => ErrorKind::SchemaBusy,
            Kind::SchemaForbidden { .. } | Kind::NotGranted { .. } => ErrorKind::NotGranted,
            Kind::NoElection(_) => ErrorKind::NoElection,
            Kind::Refused(_) => ErrorKind::Refused,
            Kind::AlreadyCandidate(_) => ErrorKind::AlreadyCandidate,
            Kind::ShutDown => ErrorKind::ShutDown,
            Kind::Thread => ErrorKind::System,
            Kind::Fenced(_) => ErrorKind::Fenced,
            Kind::NeverGivenOut(_) => ErrorKind::UnknownTerm,
            Kind::Serialization(_) => ErrorKind::Serialization,
            Kind::FenceMisuse(_) => ErrorKind::FenceMisuse,
        }
    }

    /// Whether the same may succeed later though nobody has mended anything: no server was reached or the session
    /// broke, a lock was in the way, a snapshot was too old, or the system was short of threads.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Connection
                | ErrorKind::SchemaBusy
                | ErrorKind::Serialization
                | ErrorKind::System
        )
    }

    /// It may be over at any moment, without anybody's doing: nobody answers, or nobody who accepts writes, as in a
    /// failover of the database. A pooler without a server says so itself.
    pub(crate) fn is_outage(&self) -> bool {
        let source = self.0.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
        match self.what() {
            Kind::Unreachable(_) | Kind::Standby | Kind::ReadOnly => true,
            // Class 57: it starts, or is shut down.
            Kind::Session(_) => source.is_none_or(|error| {
                error
                    .code()
                    .is_none_or(|code| code.code().starts_with("57P0"))
            }),
            // PgBouncer says so with one code for all that is wrong.
            Kind::Pooler(_) => self.sql_state() == Some("08P01"),
            _ => false,
        }
    }

    /// Nobody listens there: all sessions have ended, or end now.
    pub(crate) fn is_refusal(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        let source = self.0.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        source.is_some_and(|error| matches!(error.kind(), ConnectionRefused | NotFound))
    }

    /// What a server is reached for cannot be done with its schema as it is.
    pub(crate) fn is_of_schema(&self) -> bool {
        let forbidden = matches!(self.what(), Kind::SchemaForbidden { .. });
        forbidden || matches!(self.kind(), ErrorKind::Schema | ErrorKind::SchemaBusy)
    }
}

/// What went wrong in a session, in words.
fn failed(doing: &str, error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{doing}: {} (SQLSTATE {})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{doing}: {error}: {cause}"),
        (None, None) => format!("{doing}: {error}"),
    }
}

/// What the server says, and what it says to do.
pub(crate) fn advice(db: &DbError) -> String {
    match db.hint() {
        Some(hint) => format!("{}. {hint}", db.message()),
        None => db.message().to_owned(),
    }
}

/// What kind of [`Error`] it is. Each error is of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connection string, a setting, a name or an address is wrong, or there is no tokio runtime here.
    Configuration,
    /// No server could be reached, the hook for credentials failed, or the session broke.
    Connection,
    /// The server was reached and lets this role, database or certificate not in, or its own certificate is not accepted
    /// here: the text says what mends it.
    Denied,
    /// The server was reached and cannot hold a leadership: too old, read-only, or without real advisory locks.
    UnfitServer,
    /// The server is a standby.
    Standby,
    /// A connection pooler is in the way.
    Pooler,
    /// The schema `pgleader` is missing, incomplete, or of another version.
    Schema,
    /// The schema `pgleader` cannot be installed now, for a lock is in the way.
    SchemaBusy,
    /// This role may not do that: a grant is missing.
    NotGranted,
    /// Nobody has ever joined an election of that name.
    NoElection,
    /// The database understood what an operator asked for, and refuses it; it says why.
    Refused,
    /// This process is already a candidate of that election.
    AlreadyCandidate,
    /// The elector has been shut down.
    ShutDown,
    /// This process could not start another thread.
    System,
    /// A fence refused, because the term is over (SQLSTATE `PL001`): stop its work, roll back.
    Fenced,
    /// A fence refused a term that this server has never given out, or given out with another token: it has lost it
    /// in a failover, or it is another database (SQLSTATE `PL002`). Stop the term's work, roll back.
    UnknownTerm,
    /// A fenced transaction's snapshot is too old to tell whether the term is current (SQLSTATE 40001): run
    /// the transaction again.
    Serialization,
    /// A fence was called where it guards nothing: outside a transaction, or on a database without that election
    /// (SQLSTATE 25P01, 42704).
    FenceMisuse,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.kind.to_string();
        if let Some(hosts) = self.hosts() {
            words += &format!(" ({hosts})");
        }
        // Servers say what others have named.
        f.write_str(&shown(&words))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_named_begins_no_line() {
        let named = "no\n\u{1b}[2J\u{202e}";
        for kind in [
            Kind::NoElection(named.to_owned()),
            Kind::AlreadyCandidate(named.to_owned()),
            Kind::SchemaMissing {
                role: named.to_owned(),
            },
        ] {
            let error = Error::new(kind).of_hosts(format!("db1: {named}"));
            let words = error.to_string();
            assert_eq!(shown(&words), words);
            assert_eq!(
                words.matches(r"no\n\u{1b}[2J\u{202e}").count(),
                2,
                "{words}"
            );
        }
    }
}
