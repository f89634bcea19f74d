//! Where a connection string leads: its hosts, and all that is read from files before one of them is called.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config as PgConfig;
use tokio_postgres::config::Host;

use super::conninfo::{Conninfo, Trust};
use super::denial;
use super::fitness::Ends;
use super::options::Options;
use super::socket;
use super::startup::start;
use super::tls::Tls;
use super::wire::Wire;
use crate::clock;
use crate::config::{Config, Credentials};
use crate::engine::Timings;
use crate::error::{Error, Kind};
use crate::foreign::may_hang;
use crate::platform::peer::Peer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A transaction of longer than `transaction_timeout`.
const TRANSACTION_TIMEOUT: &str = "25P04";

/// A host, its port, and what to say to whoever listens there.
struct Endpoint {
    host: Host,
    /// An address to use instead of resolving the host.
    address: Option<IpAddr>,
    port: u16,
    /// With the settings of the session as startup options.
    postgres: PgConfig,
    /// The same without: a pool may refuse them.
    bare: PgConfig,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Unix(path) => write!(f, "{}:{}", path.display(), self.port),
        }
    }
}

/// The endpoints of one connection string, in its order.
pub(crate) struct Endpoints {
    all: Vec<Endpoint>,
    tls: Tls,
    /// For each address of each of them.
    limit: Duration,
    /// Names whose addresses are known without asking anybody: a test's.
    names: Arc<BTreeMap<String, Vec<SocketAddr>>>,
    pub(super) options: Options,
}

impl Endpoints {
    /// Read what must be read before a server can be called. `say` hears what somebody should be warned of.
    pub(crate) async fn find(
        config: &Config,
        timings: &Timings,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<Arc<Endpoints>, Error> {
        let credentials = match &config.credentials {
            None => Credentials::default(),
            Some(hook) => hook
                .ask(CONNECT_TIMEOUT)
                .await
                .map_err(|absent| Error::caused(Kind::Credentials, absent))?
                .map_err(|error| Error::caused(Kind::Credentials, error))?,
        };
        // Files may be on a disk that hangs, or be none at all.
        let read = may_hang::run(&config.reading, CONNECT_TIMEOUT, {
            let (config, timings) = (config.clone(), timings.clone());
            move || read(&config, credentials, &timings)
        });
        let (endpoints, warnings) = read.await.map_err(|absent| {
            let what = "the files that the connection string or the environment names";
            Error::new(Kind::Unreachable(format!("{what}: {absent}")))
        })??;
        for warning in warnings {
            say(warning);
        }
        Ok(Arc::new(endpoints))
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn several(&self) -> bool {
        self.all.len() > 1
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.all[index].to_string()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn user(&self, index: usize) -> String {
        let user = self.all[index].postgres.get_user();
        user.unwrap_or_default().to_owned()
    }

    pub(super) fn application_name(&self, index: usize) -> String {
        let name = self.all[index].postgres.get_application_name();
        name.unwrap_or_default().to_owned()
    }

    /// Where this one may be reached: a name may have several addresses.
    pub(super) async fn places(&self, index: usize) -> Result<Vec<Address>, Error> {
        let endpoint = &self.all[index];
        let name = match &endpoint.host {
            Host::Unix(_) => return Ok(vec![Address::Socket]),
            Host::Tcp(name) => name,
        };
        let tcp = |address: IpAddr| Address::Tcp((address, endpoint.port).into());
        if let Some(address) = endpoint.address {
            return Ok(vec![tcp(address)]);
        }
        let places: Vec<Address> = if let Some(addresses) = self.names.get(name) {
            addresses.iter().copied().map(Address::Tcp).collect()
        } else {
            let found = tokio::net::lookup_host((name.as_str(), endpoint.port)).await;
            found.map_err(unreachable)?.map(Address::Tcp).collect()
        };
        if places.is_empty() {
            let why = "the name has no address".to_owned();
            return Err(Error::new(Kind::Unreachable(why)));
        }
        Ok(places)
    }

    /// Another connection, to the address that answered.
    pub(super) async fn call_again(
        &self,
        index: usize,
        ends: Ends,
        timings: &Timings,
        bare: bool,
    ) -> Result<Wire, Error> {
        let place = match ends {
            Ends::Unix(_) => Address::Socket,
            Ends::Tcp { peer, .. } => Address::Tcp(peer),
        };
        let name = self.application_name(index);
        if bare {
            let postgres = &self.all[index].bare;
            let connected = self.connect_once(index, postgres, place, &name, timings);
            return Ok(connected.await?.0);
        }
        Ok(self.connect(index, place, &name, timings).await?.wire)
    }

    /// A connection that is proved nothing of. Without startup options where a pool refuses them. Again where the role's
    /// limit of a transaction has passed before the statement that lifts it.
    pub(super) async fn connect(
        &self,
        index: usize,
        place: Address,
        application_name: &str,
        timings: &Timings,
    ) -> Result<Connected, Error> {
        let Endpoint { postgres, bare, .. } = &self.all[index];
        let mut is_bare = false;
        let mut tries = 9_u32;
        loop {
            let postgres = if is_bare { bare } else { postgres };
            let connected = self.connect_once(index, postgres, place, application_name, timings);
            match connected.await {
                Err(error) if tries > 0 && error.sql_state() == Some(TRANSACTION_TIMEOUT) => {}
                Err(error) if !is_bare && denial::refuses_options(&error) => is_bare = true,
                Err(error) => return Err(error),
                Ok((wire, ends)) => {
                    return Ok(Connected {
                        wire,
                        ends,
                        is_bare,
                    });
                }
            }
            tries = tries.saturating_sub(1);
        }
    }

    async fn connect_once(
        &self,
        index: usize,
        postgres: &PgConfig,
        place: Address,
        application_name: &str,
        timings: &Timings,
    ) -> Result<(Wire, Ends), Error> {
        let endpoint = &self.all[index];
        let mut postgres = postgres.clone();
        postgres.application_name(application_name);
        match (&endpoint.host, place) {
            (Host::Tcp(name), Address::Tcp(address)) => {
                let stream = socket::tcp(address, timings).await.map_err(unreachable)?;
                let guard = socket::guard(&stream).map_err(unreachable)?;
                let ends = Ends::Tcp {
                    local: stream.local_addr().map_err(unreachable)?,
                    peer: stream.peer_addr().map_err(unreachable)?,
                };
                let (client, messages) = self.tls.start(&postgres, stream, name).await?;
                Ok((Wire::new(client, messages, guard), ends))
            }
            (Host::Unix(directory), _) => {
                let before = clock::now();
                let stream = socket::unix(directory, endpoint.port)
                    .await
                    .map_err(unreachable)?;
                let guard = socket::guard(&stream).map_err(unreachable)?;
                let ends = Ends::Unix(Peer::of(&stream, before));
                let (client, messages) = start(&postgres, stream, tokio_postgres::NoTls).await?;
                Ok((Wire::new(client, messages, guard), ends))
            }
            (Host::Tcp(_), Address::Socket) => {
                let why = "a host that is called over TCP has no socket here".to_owned();
                Err(Error::new(Kind::Unexpected(why)))
            }
        }
    }
}

/// A connection that is proved nothing of.
pub(super) struct Connected {
    pub(super) wire: Wire,
    pub(super) ends: Ends,
    /// It was given no startup options.
    pub(super) is_bare: bool,
}

/// One of the addresses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The Unix socket in its directory.
    Socket,
    Tcp(SocketAddr),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket => f.write_str("its socket"),
            Address::Tcp(address) => address.fmt(f),
        }
    }
}

fn unreachable(error: std::io::Error) -> Error {
    Error::caused(Kind::Unreachable(error.to_string()), error)
}

/// How much TLS must prove.
pub(crate) fn trust(config: &Config) -> Result<Trust, Error> {
    Conninfo::read(&config.conninfo, config.environment).map(|conninfo| conninfo.trust)
}

/// The endpoints, and what somebody should be warned of. Reads files.
fn read(
    config: &Config,
    credentials: Credentials,
    timings: &Timings,
) -> Result<(Endpoints, Vec<String>), Error> {
    let options = Options::new(timings);
    let mut conninfo = Conninfo::read(&config.conninfo, config.environment)?;
    if let Some(user) = credentials.user {
        conninfo.postgres.user(user);
    }
    if let Some(password) = credentials.password {
        conninfo.postgres.password(password);
    }
    let startup = options.startup(conninfo.postgres.get_options(), timings);
    conninfo.postgres.application_name(&config.application_name);
    let mut warnings = vec![];
    let all = hosts(&conninfo.postgres)
        .into_iter()
        .map(|(host, address, port)| {
            let bare = conninfo.at(&host, port, &mut warnings);
            let mut postgres = bare.clone();
            postgres.options(&startup);
            Endpoint {
                host,
                address,
                port,
                postgres,
                bare,
            }
        })
        .collect();
    warnings.dedup();
    let limit = conninfo.postgres.get_connect_timeout().copied();
    let endpoints = Endpoints {
        all,
        tls: Tls::new(&conninfo)?,
        limit: limit.unwrap_or(CONNECT_TIMEOUT),
        names: Arc::clone(&config.names),
        options,
    };
    Ok((endpoints, warnings))
}

fn hosts(postgres: &PgConfig) -> Vec<(Host, Option<IpAddr>, u16)> {
    let (hosts, addresses) = (postgres.get_hosts(), postgres.get_hostaddrs());
    let ports = postgres.get_ports();
    (0..hosts.len().max(addresses.len()))
        .map(|index| {
            let address = addresses.get(index).copied();
            let named = hosts.get(index).cloned();
            let host = named.or(address.map(|address| Host::Tcp(address.to_string())));
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            (host.unwrap_or(Host::Tcp(String::new())), address, port)
        })
        .collect()
}

/// One error for all endpoints: the one that says most about what to do, with what became of each.
pub(super) fn most_telling(failures: Vec<(String, Error)>) -> Error {
    // A standby tells least: the host that does not answer may be its primary.
    let tells = |error: &Error| match error.what() {
        Kind::Standby | Kind::ReadOnly => 0,
        Kind::Unreachable(_) => 1,
        Kind::Session(_) => 2,
        _ => 3,
    };
    let several = failures.len() > 1;
    let each: Vec<String> = failures
        .iter()
        .map(|(name, error)| match error.what() {
            Kind::Unreachable(why) => format!("{name}: {why}"),
            Kind::Standby => format!("{name}: a standby"),
            Kind::ReadOnly => format!("{name}: read-only"),
            _ => format!("{name}: {error}"),
        })
        .collect();
    let each = each.join("; ");
    match failures
        .into_iter()
        .map(|(_, error)| error)
        .max_by_key(tells)
    {
        None => Error::new(Kind::Unreachable(each)),
        Some(error) => match error.what() {
            Kind::Unreachable(_) => Error::new(Kind::Unreachable(each)),
            _ if several => error.of_hosts(each),
            _ => error,
        },
    }
}
