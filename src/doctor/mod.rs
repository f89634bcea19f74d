//! Whether a candidate could work here, and how well: [`examine`].
//!
//! One file a group of checks. What the server tells is asked for in `server_facts`; these judge it.

mod connection;
mod endings;
mod finding;
mod hosts;
mod patience;
mod rights;
mod room;
mod server;
mod server_facts;
mod timing;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use crate::config::Config;
use crate::connection::{connect, trust};
use crate::engine::Timings;
use crate::error::{Error, ErrorKind, Kind};
pub use finding::{Finding, Severity};
use patience::{Late, Patience};
use server_facts as facts;

/// Connect as a candidate with this configuration would, and look at all that matters to one. Takes about
/// two seconds, and never more than a minute; three more sessions are opened and ended on the way, one after
/// another. Writes nothing.
///
/// Two of those ends count as killed and as failed in `pg_stat_database`, where candidates look for the end of a
/// leader: one that crashes in that second is followed after a lease more than need be. That is safe. Behind
/// pgpool-II no session is ended: it would detach the server.
///
/// Where no candidate could connect, that is what is found.
///
/// ```no_run
/// # async fn example() -> Result<(), pg_leader::Error> {
/// for finding in pg_leader::doctor::examine("postgres://app@db/app").await? {
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
    examine_with(config, |_| ()).await
}

/// As [`examine`], and `waits_for` hears what is waited for, as soon as that takes longer than two seconds. A check
/// that has no answer within ten seconds is a finding, and those that would have to wait behind it are left out.
///
/// ```no_run
/// # async fn example() -> Result<(), pg_leader::Error> {
/// let findings = pg_leader::doctor::examine_with("postgres://app@db/app", |what| eprintln!("waiting for {what}")).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`examine`].
///
/// # Cancel safety
///
/// As [`examine`].
pub async fn examine_with(
    config: impl Into<Config>,
    waits_for: impl FnMut(&str),
) -> Result<Vec<Finding>, Error> {
    let config = config.into();
    let timings = config.timings()?;
    let mut patience = Patience::new(waits_for);
    let looking = hosts::check(&config, &timings);
    let hosts = match patience.wait("the hosts", Duration::MAX, looking).await {
        Ok(Err(error)) if error.kind() == ErrorKind::Configuration => return Err(error),
        Ok(found) => found.unwrap_or_default(),
        Err(_) => None,
    };
    let connected = patience
        .wait("a session", Duration::MAX, connect(&config, &timings))
        .await;
    let mut connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if error.kind() == ErrorKind::Configuration => return Err(error),
        Ok(Err(error)) => return Ok(vec![connection::refused(&error)]),
        Err(late) => return Ok(vec![too_late(&late)]),
    };
    // Before anything is asked of the session, which may not be silent for long.
    let mut findings: Vec<Finding> = hosts.into_iter().collect();
    let client = Arc::clone(connection.wire.client());
    let patient = Examination {
        client: &client,
        config: &config,
        timings: &timings,
        direct: connection.direct,
        pgpool: connection.pgpool,
        role: &connection.role,
    };
    let examination = patient.look(&mut patience, &mut findings);
    match connection.wire.drive(examination).await {
        Ok(()) => Ok(findings),
        Err(Ended::Late(late)) => {
            findings.push(too_late(&late));
            Ok(findings)
        }
        Err(Ended::Broken(error)) => Err(match error.what() {
            Kind::Session(why) => Error::new(Kind::Session(format!("in the examination: {why}"))),
            _ => error,
        }),
    }
}

fn too_late(late: &Late) -> Finding {
    let what = format!(
        "no answer within {:.0} s to the question about {}; what comes after it was not looked at",
        late.after.as_secs_f64(),
        late.what
    );
    Finding::problem("answers", what).remedy(
        "find out what holds the server up, or what is between: pg_stat_activity, pg_locks, the network",
    )
}

/// Why an examination goes no further.
enum Ended {
    Late(Late),
    Broken(Error),
}

impl From<Late> for Ended {
    fn from(late: Late) -> Ended {
        Ended::Late(late)
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Ended {
        Ended::Broken(error)
    }
}

struct Examination<'a> {
    client: &'a Client,
    config: &'a Config,
    timings: &'a Timings,
    direct: bool,
    pgpool: bool,
    role: &'a str,
}

impl Examination<'_> {
    async fn look<F: FnMut(&str)>(
        self,
        patience: &mut Patience<F>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Ended> {
        let Examination {
            client,
            config,
            timings,
            role,
            ..
        } = self;
        let seen = patience.check("the session", facts::seen(client)).await??;
        findings.push(Finding::fine(
            "connection",
            format!("as {} to PostgreSQL {}, a primary", seen.user, seen.version),
        ));
        findings.push(connection::direct(self.direct, self.pgpool));
        findings.push(connection::tls(&seen, trust(config)?));
        let rights = patience
            .check("privileges", facts::rights(client))
            .await??;
        let schema = rights::schema(client, role, &rights);
        findings.push(patience.check("the schema", schema).await?);
        findings.push(rights::functions(role, &rights));
        findings.push(rights::silence(&seen, &rights));
        findings.push(rights::eviction(role, &rights));
        findings.extend(server::settings(&seen));
        findings.extend(server::password(&seen));
        let standbys = patience.check("standbys", facts::standbys(client));
        findings.push(server::standbys(&standbys.await??));
        let strangers = patience.check("strangers", facts::strangers(client));
        findings.push(server::strangers(strangers.await??.as_deref()));
        let queue = patience.check("notifications", facts::queue_usage(client));
        findings.push(server::notifications(queue.await??));
        let rooms = patience.check("free connections and locks", facts::rooms(client));
        findings.extend(room::all(&rooms.await??));
        let timing = patience.check("round trips", timing::check(client, timings));
        findings.extend(timing.await??);
        if self.pgpool {
            findings.push(endings::left_out());
        } else {
            let endings = endings::check(client, config, timings);
            findings.push(
                patience
                    .wait(endings::WHAT, endings::LIMIT, endings)
                    .await?,
            );
        }
        Ok(())
    }
}
