//! Whether a candidate could work here, and how well: [`examine`].
//!
//! One file a group of checks. What the server tells is asked for in `session::facts`; these judge it.

mod connection;
mod endings;
mod rights;
mod room;
mod server;
mod timing;

use std::fmt;

use crate::config::Config;
use crate::error::{Error, Kind};
use crate::session::connect;
use crate::session::facts;

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Good to know; nothing needs to be done.
    Note,
    /// It works, and less well than it could, or will not for long.
    Warning,
    /// No candidate can work so, or the guarantees do not hold.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Fine => "fine",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        })
    }
}

/// What one check of [`examine`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at, in a word or two: the same for every server.
    pub check: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, what: impl Into<String>) -> Finding {
        Finding {
            check,
            severity,
            what: what.into(),
            remedy: None,
        }
    }

    fn fine(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Fine, what)
    }

    fn note(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Note, what)
    }

    fn warning(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Warning, what)
    }

    fn problem(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Problem, what)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Connect as a candidate with this configuration would, and look at all that matters to one. Takes about
/// two seconds; three more sessions are opened and ended on the way, one after another. Writes nothing.
///
/// Two of those ends count as killed and as failed in `pg_stat_database`, where candidates look for the end of a
/// leader: one that crashes in that second is followed after a lease more than need be. That is safe.
///
/// Where no candidate could connect, that is what is found.
///
/// ```no_run
/// # async fn example() -> Result<(), pg_leader::Error> {
/// for finding in pg_leader::examine("postgres://app@db/app").await? {
///     println!("{}: {}: {}", finding.severity, finding.check, finding.what);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// When the connection string or the settings cannot be used, or the session breaks on the way.
///
/// # Cancel safety
///
/// Cancel safe: what was opened is closed.
pub async fn examine(config: impl Into<Config>) -> Result<Vec<Finding>, Error> {
    let config = config.into();
    let timings = config.timings()?;
    let mut session = match connect::connect(&config, &timings).await {
        Ok(session) => session,
        Err(error) if error.is_configuration() => return Err(error),
        Err(error) => return Ok(vec![connection::refused(&error)]),
    };
    let client = session.client.clone();
    let (direct, role) = (session.direct, session.role.clone());
    let examination = async {
        let seen = facts::seen(&client).await?;
        let rights = facts::rights(&client).await?;
        let mut findings = vec![
            Finding::fine(
                "connection",
                format!("as {} to PostgreSQL {}, a primary", seen.user, seen.version),
            ),
            connection::direct(direct),
            connection::tls(&seen, connect::trust(&config)?),
            rights::schema(&client, &role, &rights).await,
            rights::functions(&role, &rights),
            rights::silence(&seen, &rights),
            rights::eviction(&role, &rights),
        ];
        findings.extend(server::settings(&seen));
        findings.extend(server::password(&seen));
        findings.push(server::standbys(&facts::standbys(&client).await?));
        findings.extend(room::all(&facts::rooms(&client).await?));
        findings.extend(timing::check(&client, &timings).await?);
        findings.push(endings::check(&client, &config, &timings).await);
        Ok::<_, Error>(findings)
    };
    let findings = connect::with(&mut session.messages, examination).await;
    findings.map_err(|error| match error.kind() {
        Kind::Session(why) => Error::new(Kind::Session(format!("in the examination: {why}"))),
        _ => error,
    })
}
