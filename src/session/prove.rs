//! Proof that a server can hold a leadership, before anybody relies on it.

use std::net::{IpAddr, SocketAddr};

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::cancel_key;
use super::options::Options;
use crate::error::{Error, Kind};
use crate::platform::peer::Peer;

const OLDEST_SERVER: i32 = 150_000;

/// What a server proved.
pub(crate) struct Proof {
    pub(crate) pid: i32,
    pub(crate) direct: bool,
    /// The pid that came with the key for cancelling is not the backend's: somebody has made it up.
    pub(crate) pooled: bool,
    pub(crate) server_version: i32,
}

/// The client's own end of the connection, as it sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    Unix(Peer),
    Tcp { local: SocketAddr, peer: SocketAddr },
}

const FACTS: &str = "
    SELECT pg_backend_pid(), current_setting('server_version_num')::int, pg_is_in_recovery(),
           current_setting('transaction_read_only') = 'on',
           host(inet_client_addr()), inet_client_port(), host(inet_server_addr()), inet_server_port(),
           ARRAY(SELECT coalesce(current_setting(name, true), '') FROM unnest($1) AS name),
           coalesce(current_setting('pgleader.mark', true), '') <> '',
           EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";

const LOCK_SHOWS: &str = "
    SELECT pg_backend_pid(), EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()
           AND (classid::bigint << 32) | objid::bigint = $1)";

/// Everything but the schema.
pub(crate) async fn server(client: &Client, options: &Options, ends: Ends) -> Result<Proof, Error> {
    let failed = |error| Error::session("proving the server", error);
    let key = probe_key();
    let names: Vec<&str> = options.names().collect();
    // Pipelined: one round trip.
    let (facts, locked, shows, unlocked) = {
        let names: [(&(dyn ToSql + Sync), Type); 1] = [(&names, Type::TEXT_ARRAY)];
        let key: [(&(dyn ToSql + Sync), Type); 1] = [(&key, Type::INT8)];
        tokio::try_join!(
            biased;
            client.query_typed(FACTS, &names),
            client.query_typed("SELECT pg_try_advisory_lock($1)", &key),
            client.query_typed(LOCK_SHOWS, &key),
            client.query_typed("SELECT pg_advisory_unlock($1)", &key),
        )
    }
    .map_err(failed)?;
    let one = |rows: Vec<tokio_postgres::Row>| {
        rows.into_iter()
            .next()
            .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))
    };
    let (facts, locked, shows, unlocked) = (one(facts)?, one(locked)?, one(shows)?, one(unlocked)?);

    let pid: i32 = facts.try_get(0).map_err(failed)?;
    let server_version: i32 = facts.try_get(1).map_err(failed)?;
    if server_version < OLDEST_SERVER {
        return Err(Error::new(Kind::TooOld(
            (server_version / 10_000).to_string(),
        )));
    }
    if facts.try_get(2).map_err(failed)? {
        return Err(Error::new(Kind::Standby));
    }
    let settings: Vec<String> = facts.try_get(8).map_err(failed)?;
    if let Some(name) = options.differs(&settings) {
        return Err(Error::new(Kind::Pooler(format!(
            "the startup option {name} did not take effect"
        ))));
    }
    // Nobody but a pooler gives a new client what another one has used.
    for (column, why) in [
        (9, "a new session bears the mark of another client"),
        (10, "a new session holds advisory locks of another client"),
    ] {
        if facts.try_get(column).map_err(failed)? {
            return Err(Error::new(Kind::Pooler(why.to_owned())));
        }
    }
    if facts.try_get(3).map_err(failed)? {
        return Err(Error::new(Kind::ReadOnly));
    }
    if shows.try_get::<_, i32>(0).map_err(failed)? != pid {
        return Err(Error::new(Kind::Pooler(
            "two queries met two backends".to_owned(),
        )));
    }
    let locks = locked.try_get(0).map_err(failed)?
        && shows.try_get(1).map_err(failed)?
        && unlocked.try_get(0).map_err(failed)?;
    if !locks {
        return Err(Error::new(Kind::NoLocks));
    }
    let end = |address, port| -> Result<Option<SocketAddr>, tokio_postgres::Error> {
        let address: Option<String> = facts.try_get(address)?;
        let port: Option<i32> = facts.try_get(port)?;
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        let port = port.and_then(|port| u16::try_from(port).ok());
        Ok(address.zip(port).map(SocketAddr::from))
    };
    let seen = (end(4, 5).map_err(failed)?, end(6, 7).map_err(failed)?);
    let pooled = cancel_key::pid(client) != pid;
    let direct = !pooled
        && match ends {
            Ends::Unix(peer) => seen == (None, None) && peer.is_server_of(pid),
            Ends::Tcp { local, peer } => seen == (Some(canonical(local)), Some(canonical(peer))),
        };
    Ok(Proof {
        pid,
        direct,
        pooled,
        server_version,
    })
}

/// Put a random mark into a session, so that it can be told from any other. After the proof: what is refused bears
/// none, and others may use it.
pub(crate) async fn mark(client: &Client) -> Result<String, Error> {
    let setting = "SELECT set_config('pgleader.mark', gen_random_uuid()::text, false)";
    let rows = client.query_typed(setting, &[]).await;
    let rows = rows.map_err(|error| Error::session("marking the session", error))?;
    rows.first()
        .and_then(|row| row.try_get(0).ok())
        .ok_or_else(|| Error::new(Kind::Unexpected("no mark".to_owned())))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A key that no two provers share at the same time, in the space of single keys, which the schema does
/// not use.
fn probe_key() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new()
        .hash_one(std::process::id())
        .cast_signed()
}
