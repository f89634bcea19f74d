//! That this engine counts the ends of sessions as PostgreSQL does: the autopsy of a leader rests on it.
//!
//! Hazard: the ends made here move the counters too. A leader that crashes meanwhile costs one refractory
//! period that it need not.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::finding::Finding;
use super::server_facts as facts;
use crate::config::Config;
use crate::connection::connect;
use crate::engine::Timings;
use crate::error::{Error, Kind};

const CHECK: &str = "endings";

/// What is waited for.
pub(super) const WHAT: &str = "the ends of sessions that it has opened and ended";

/// So long may it take: each of three ends is tried three times at most.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A session that others end meanwhile spoils one try.
const TRIES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayToEnd {
    /// An operator ends it.
    Killed,
    /// It is silent for too long.
    Fatal,
    /// Its client closes the socket.
    Closed,
}

pub(super) async fn check(client: &Client, config: &Config, timings: &Timings) -> Finding {
    for way in [WayToEnd::Killed, WayToEnd::Fatal, WayToEnd::Closed] {
        match is_told(client, config, timings, way).await {
            Ok(true) => {}
            Ok(false) if way == WayToEnd::Closed => {
                return Finding::warning(
                    CHECK,
                    "the counters of killed and failed sessions move without end here: after a crash of its \
                     process a leader is followed only after a lease more",
                )
                .remedy("find out who ends so many sessions: pg_stat_database, the server's log");
            }
            Ok(false) => {
                return Finding::problem(
                    CHECK,
                    "a session was ended, and pg_stat_database did not count it: on this engine the way in which \
                     a session ended proves nothing",
                )
                .remedy("use PostgreSQL itself, or Takeover::AlwaysWait for every candidate");
            }
            Err(error) => {
                return Finding::warning(
                    CHECK,
                    format!("not proved: another session could not be opened or ended: {error}"),
                )
                .remedy("make room for one more connection, and look again");
            }
        }
    }
    Finding::fine(
        CHECK,
        "the server counts sessions that were killed or failed, and not those that their client closed",
    )
}

/// Behind pgpool-II an end by force would have the server detached.
pub(super) fn left_out() -> Finding {
    Finding::note(
        CHECK,
        "not tried behind pgpool-II, which would detach the server: whether this engine counts the ends of sessions \
         matters to candidates that connect directly",
    )
    .remedy("run it where a candidate connects directly")
}

/// Whether the counters tell an end of that kind from the others.
async fn is_told(
    client: &Client,
    config: &Config,
    timings: &Timings,
    way: WayToEnd,
) -> Result<bool, Error> {
    for _ in 0..TRIES {
        let before = facts::endings(client).await?;
        end_one(client, config, timings, way).await?;
        let after = facts::endings(client).await?;
        let moved = (after.0 > before.0, after.1 > before.1);
        let told = match way {
            WayToEnd::Killed => moved.0,
            WayToEnd::Fatal => moved.1,
            WayToEnd::Closed => moved == (false, false),
        };
        if told {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Open a session as a candidate would, end it, and wait until its backend is gone.
async fn end_one(
    client: &Client,
    config: &Config,
    timings: &Timings,
    way: WayToEnd,
) -> Result<(), Error> {
    let mut connection = connect(config, timings).await?;
    let pid = connection.pid;
    // Before it is done: what is ended may be what somebody waits for.
    tracing::info!(pid, ending = ?way, "ending a session of the examination's own");
    match way {
        WayToEnd::Killed => facts::terminate(client, pid).await?,
        WayToEnd::Fatal => {
            let its_client = Arc::clone(connection.wire.client());
            let silent = facts::end_when_silent(&its_client, Duration::from_millis(10));
            connection.wire.drive(silent).await?;
        }
        WayToEnd::Closed => {}
    }
    // The socket stays open until the server has ended the session, unless that is what ends it.
    let mut open = Some(connection).filter(|_| way != WayToEnd::Closed);
    for _ in 0..1000 {
        if facts::is_gone(client, pid).await? {
            drop(open.take());
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(Error::new(Kind::Session(format!(
        "the session of backend {pid} did not end"
    ))))
}
