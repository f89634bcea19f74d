//! Proof that a server can hold a leadership, before anybody relies on it.

use std::net::{IpAddr, SocketAddr};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::cancel_key;
use super::options::Options;
use super::row::{Parameter, column, one};
use crate::error::{Error, Kind};
use crate::platform::peer::Peer;

const OLDEST_SERVER: i32 = 150_000;

/// What a server proved.
pub(crate) struct Proof {
    pub(crate) pid: i32,
    pub(crate) direct: bool,
    /// The pid that came with the key for cancelling is not the backend's, so somebody has made it up; or somebody has
    /// kept startup options back.
    pub(crate) pooled: bool,
    /// Startup options did not take effect: what the session needs is still to be set.
    pub(crate) unset: bool,
}

/// The client's own end of the connection, as it sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    Unix(Peer),
    Tcp { local: SocketAddr, peer: SocketAddr },
}

const FACTS: &str = "
    SELECT pg_backend_pid() AS pid, current_setting('server_version_num')::int AS version,
           pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
           host(inet_client_addr()) AS client_address, inet_client_port() AS client_port,
           host(inet_server_addr()) AS server_address, inet_server_port() AS server_port,
           ARRAY(SELECT coalesce(current_setting(name, true), '') FROM unnest($1) AS name) AS settings,
           coalesce(current_setting('pgleader.mark', true), '') <> '' AS is_marked,
           EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS holds_locks";

const END_NO_TRANSACTION: &str = "SELECT set_config('transaction_timeout', '0', false) \
     WHERE current_setting('server_version_num')::int >= 170000";

const SET: &str =
    "SELECT set_config(name, value, false) FROM unnest($1, $2) AS setting (name, value)";

const LOCK_SHOWS: &str = "
    SELECT pg_backend_pid() AS pid, EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()
           AND (classid::bigint << 32) | objid::bigint = $1) AS shows";

/// A lock taken, looked for and let go.
struct Locks {
    locked: Row,
    shows: Row,
    unlocked: Row,
}

/// Whether it is a primary of a version that is known. The backend's pid.
pub(crate) async fn primary(client: &Client, options: &Options) -> Result<i32, Error> {
    let facts = facts(client, options).await?;
    is_primary(&facts, options)?;
    column(&facts, "pid")
}

/// The same of a session that is to be a candidate's and was given no startup options: it takes no lock and sets nothing
/// before it is known that it keeps its backend.
pub(crate) async fn bare(client: &Client, options: &Options) -> Result<Proof, Error> {
    let facts = facts(client, options).await?;
    is_of_its_own(&facts)?;
    is_primary(&facts, options)?;
    Ok(Proof {
        pid: column(&facts, "pid")?,
        direct: false,
        pooled: true,
        unset: true,
    })
}

/// Whether a session that keeps its backend can hold locks.
pub(crate) async fn locks(client: &Client, pid: i32) -> Result<(), Error> {
    can_lock(&try_lock(client).await?, pid)
}

async fn facts(client: &Client, options: &Options) -> Result<Row, Error> {
    let names: Vec<&str> = options.names().collect();
    let names: [Parameter<'_>; 1] = [(&names, Type::TEXT_ARRAY)];
    one(client.query_typed(FACTS, &names).await.map_err(unproved)?)
}

fn unproved(error: tokio_postgres::Error) -> Error {
    Error::session("proving the server", error)
}

/// Everything but the schema.
pub(crate) async fn server(client: &Client, options: &Options, ends: Ends) -> Result<Proof, Error> {
    // Pipelined: one round trip.
    let (facts, locks) = tokio::try_join!(biased; facts(client, options), try_lock(client))?;
    is_of_its_own(&facts)?;
    let unset = is_primary(&facts, options)?;
    let pid: i32 = column(&facts, "pid")?;
    can_lock(&locks, pid)?;
    let pooled = unset || cancel_key::pid(client) != pid;
    Ok(Proof {
        pid,
        direct: !pooled && is_direct(&facts, pid, ends)?,
        pooled,
        unset,
    })
}

/// Whether startup options did not take effect there.
fn is_primary(facts: &Row, options: &Options) -> Result<bool, Error> {
    let server_version: i32 = column(facts, "version")?;
    if server_version < OLDEST_SERVER {
        return Err(Error::new(Kind::TooOld(
            (server_version / 10_000).to_string(),
        )));
    }
    if column(facts, "standby")? {
        return Err(Error::new(Kind::Standby));
    }
    let unset = differs(facts, options)?.is_some();
    // A role may have a default here that an option was to override.
    if !unset && column(facts, "read_only")? {
        return Err(Error::new(Kind::ReadOnly));
    }
    Ok(unset)
}

/// Set what startup options were to set. Hazard: only once it is known that this client keeps its backend, or others
/// would have these settings.
pub(crate) async fn set(client: &Client, options: &Options) -> Result<(), Error> {
    let (names, values) = options.values();
    let lists: [Parameter<'_>; 2] = [(&names, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)];
    let failed = |error| Error::session("setting up the session", error);
    client.query_typed(SET, &lists).await.map_err(failed)?;
    client
        .query_typed(END_NO_TRANSACTION, &[])
        .await
        .map_err(failed)?;
    let facts = facts(client, options).await?;
    if let Some(name) = differs(&facts, options)? {
        return Err(Error::new(Kind::Pooler(format!(
            "the setting {name} does not take effect, neither as a startup option nor later"
        ))));
    }
    if column(&facts, "read_only")? {
        return Err(Error::new(Kind::ReadOnly));
    }
    Ok(())
}

/// The first setting that is not as it was asked for.
fn differs<'a>(facts: &Row, options: &'a Options) -> Result<Option<&'a str>, Error> {
    let settings: Vec<String> = column(facts, "settings")?;
    Ok(options.differs(&settings))
}

async fn try_lock(client: &Client) -> Result<Locks, Error> {
    let key = probe_key();
    let key: [Parameter<'_>; 1] = [(&key, Type::INT8)];
    let (locked, shows, unlocked) = tokio::try_join!(
        biased;
        client.query_typed("SELECT pg_try_advisory_lock($1)", &key),
        client.query_typed(LOCK_SHOWS, &key),
        client.query_typed("SELECT pg_advisory_unlock($1)", &key),
    )
    .map_err(unproved)?;
    Ok(Locks {
        locked: one(locked)?,
        shows: one(shows)?,
        unlocked: one(unlocked)?,
    })
}

/// That nobody else has used this session.
fn is_of_its_own(facts: &Row) -> Result<(), Error> {
    // Nobody but a pooler gives a new client what another one has used.
    for (fact, why) in [
        (
            "is_marked",
            "a new session bears the mark of another client",
        ),
        (
            "holds_locks",
            "a new session holds advisory locks of another client",
        ),
    ] {
        if column(facts, fact)? {
            return Err(Error::new(Kind::Pooler(why.to_owned())));
        }
    }
    Ok(())
}

/// That the session takes an advisory lock, sees it, and lets it go.
fn can_lock(locks: &Locks, pid: i32) -> Result<(), Error> {
    let Locks {
        locked,
        shows,
        unlocked,
    } = locks;
    if column::<i32>(shows, "pid")? != pid {
        return Err(Error::new(Kind::Pooler(
            "two queries met two backends".to_owned(),
        )));
    }
    if column(locked, 0)? && column(shows, "shows")? && column(unlocked, 0)? {
        Ok(())
    } else {
        Err(Error::new(Kind::NoLocks))
    }
}

/// Whether both ends of the connection are the server's ends as well.
fn is_direct(facts: &Row, pid: i32, ends: Ends) -> Result<bool, Error> {
    let end = |address, port| -> Result<Option<SocketAddr>, Error> {
        let address: Option<String> = column(facts, address)?;
        let port: Option<i32> = column(facts, port)?;
        let address = address.and_then(|address| address.parse::<IpAddr>().ok());
        let port = port.and_then(|port| u16::try_from(port).ok());
        Ok(address.zip(port).map(SocketAddr::from))
    };
    let seen = (
        end("client_address", "client_port")?,
        end("server_address", "server_port")?,
    );
    Ok(match ends {
        Ends::Unix(peer) => seen == (None, None) && peer.is_server_of(pid),
        Ends::Tcp { local, peer } => seen == (Some(canonical(local)), Some(canonical(peer))),
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
