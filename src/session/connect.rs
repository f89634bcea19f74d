//! From a connection string to a session that is proven fit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config as PgConfig};
use tracing::Level;

use super::aside;
use super::conninfo::{Conninfo, Trust};
use super::hosts::{self, Known, Round, Sight};
use super::log::{Entry, Log};
use super::options::{self, Options};
use super::pooler;
use super::prove::{self, Ends};
use super::socket::{self, SocketGuard};
use super::tls::Tls;
use crate::clock;
use crate::config::{Config, Credentials};
use crate::engine::Timings;
use crate::error::{Error, Kind};
use crate::platform::peer::Peer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server sends beside answers. It must be polled for answers to arrive; its end is the
/// session's end. An error comes last, and the connection goes with it, so requests without an answer fail.
pub(crate) type Messages =
    Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// A session that is proven fit.
///
/// Hazard: the client library says goodbye when its last `Client` is dropped while `messages` is still
/// there. So `messages` stands first: dropping a session closes a descriptor and sends nothing, and the
/// connection stays open while any clone of `socket` lives.
pub(crate) struct Session {
    pub(crate) messages: Messages,
    pub(crate) client: Arc<Client>,
    pub(crate) socket: SocketGuard,
    pub(crate) pid: i32,
    pub(crate) direct: bool,
    /// pgpool-II is between: whoever ends this session by force has the server detached.
    pub(crate) pgpool: bool,
    pub(crate) role: String,
    /// Where the connection string names several.
    pub(crate) hosts: Option<Hosts>,
}

/// Connect to the host that is a fit primary. The schema is not looked at.
pub(crate) async fn connect(config: &Config, timings: &Timings) -> Result<Session, Error> {
    connect_and_say(config, timings, &Known::default(), &Log::at_once()).await
}

/// The same, for whoever must not wait for the log.
pub(crate) async fn connect_and_say(
    config: &Config,
    timings: &Timings,
    known: &Known,
    log: &Log,
) -> Result<Session, Error> {
    let ways = Arc::new(find_ways(config, timings, log).await?);
    let (order, mut round) = if ways.several() {
        hosts::choose(&ways, timings, known).await?
    } else {
        ((0..ways.count()).collect(), Round::default())
    };
    let limit = ways.limit;
    let mut failures: Vec<(String, Error)> = vec![];
    for (place, postgres) in order.into_iter().map(|index| &ways.places[index]) {
        let attempt = async {
            let mut session = at(place, postgres, &ways.tls, &ways.options, timings, limit).await?;
            if ways.several() {
                let own = hosts::see(&session.client, place.to_string(), &known.elections);
                let own = with(&mut session.messages, own).await?;
                let round = std::mem::take(&mut round);
                session.hosts = Some(Hosts { own, round });
            }
            Ok(session)
        };
        let failure = match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(error)) => error,
            Err(_) => Error::new(Kind::Unreachable(format!("no answer within {limit:?}"))),
        };
        failures.push((place.to_string(), failure));
    }
    Err(most_telling(failures))
}

/// With several hosts in the connection string.
pub(crate) struct Hosts {
    pub(crate) own: Sight,
    /// What was seen before it was taken.
    pub(crate) round: Round,
}

/// Read what must be read before a server can be looked for.
pub(crate) async fn find_ways(
    config: &Config,
    timings: &Timings,
    log: &Log,
) -> Result<Ways, Error> {
    let credentials = match &config.credentials {
        None => Credentials::default(),
        Some(hook) => hook
            .ask(CONNECT_TIMEOUT)
            .await
            .map_err(|absent| Error::caused(Kind::Credentials, absent))?
            .map_err(|error| Error::caused(Kind::Credentials, error))?,
    };
    let options = Options::new(timings);
    // Files may be on a disk that hangs, or be none at all.
    let ways = aside::run(&config.reading, CONNECT_TIMEOUT, {
        let (config, timings) = (config.clone(), timings.clone());
        move || ways(&config, credentials, options, &timings)
    });
    let mut ways = ways.await.map_err(|absent| {
        let what = "the files that the connection string or the environment names";
        Error::new(Kind::Unreachable(format!("{what}: {absent}")))
    })??;
    for warning in std::mem::take(&mut ways.warnings) {
        log.say(Entry::new(Level::WARN, warning));
    }
    Ok(ways)
}

/// All that is read from files before a server is looked for.
pub(crate) struct Ways {
    places: Vec<(Place, PgConfig)>,
    tls: Tls,
    /// For each of the places.
    limit: Duration,
    options: Options,
    warnings: Vec<String>,
}

impl Ways {
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn several(&self) -> bool {
        self.places.len() > 1
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.places[index].0.to_string()
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// A connection that is proved nothing of.
    pub(crate) async fn open_to_look(
        &self,
        index: usize,
        timings: &Timings,
    ) -> Result<(Messages, Client), Error> {
        let (place, postgres) = &self.places[index];
        let mut postgres = postgres.clone();
        let name = postgres.get_application_name().unwrap_or_default();
        postgres.application_name(format!("{name} looking"));
        let ((client, messages), ..) = open(place, &postgres, &self.tls, timings).await?;
        Ok((messages, client))
    }
}

fn ways(
    config: &Config,
    credentials: Credentials,
    options: Options,
    timings: &Timings,
) -> Result<Ways, Error> {
    let mut conninfo = Conninfo::read(&config.conninfo, config.environment)?;
    if let Some(user) = credentials.user {
        conninfo.postgres.user(user);
    }
    if let Some(password) = credentials.password {
        conninfo.postgres.password(password);
    }
    let startup = options.startup(conninfo.postgres.get_options(), timings);
    conninfo.postgres.options(startup);
    conninfo.postgres.application_name(&config.application_name);
    let mut warnings = vec![];
    let places = places(&conninfo.postgres)
        .into_iter()
        .map(|place| {
            let postgres = conninfo.at(&place.host, place.port, &mut warnings);
            (place, postgres)
        })
        .collect();
    warnings.dedup();
    let limit = conninfo.postgres.get_connect_timeout().copied();
    Ok(Ways {
        places,
        tls: Tls::new(&conninfo)?,
        limit: limit.unwrap_or(CONNECT_TIMEOUT),
        options,
        warnings,
    })
}

/// One error for all hosts: the one that says most about what to do, with what became of each.
pub(super) fn most_telling(failures: Vec<(String, Error)>) -> Error {
    // A standby tells least: the host that does not answer may be its primary.
    let tells = |error: &Error| match error.kind() {
        Kind::Standby | Kind::ReadOnly => 0,
        Kind::Unreachable(_) => 1,
        Kind::Session(_) => 2,
        _ => 3,
    };
    let several = failures.len() > 1;
    let each: Vec<String> = failures
        .iter()
        .map(|(name, error)| match error.kind() {
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
        Some(error) => match error.kind() {
            Kind::Unreachable(_) => Error::new(Kind::Unreachable(each)),
            _ if several => error.of_hosts(each),
            _ => error,
        },
    }
}

/// How much TLS must prove.
pub(crate) fn trust(config: &Config) -> Result<Trust, Error> {
    Conninfo::read(&config.conninfo, config.environment).map(|conninfo| conninfo.trust)
}

struct Place {
    host: Host,
    /// An address to use instead of resolving the host.
    address: Option<std::net::IpAddr>,
    port: u16,
}

impl Place {
    /// The same, by the address that answered.
    fn at(&self, ends: Ends) -> Place {
        Place {
            host: self.host.clone(),
            address: match ends {
                Ends::Unix(_) => None,
                Ends::Tcp { peer, .. } => Some(peer.ip()),
            },
            port: self.port,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Unix(path) => write!(f, "{}:{}", path.display(), self.port),
        }
    }
}

fn places(postgres: &PgConfig) -> Vec<Place> {
    let (hosts, addresses) = (postgres.get_hosts(), postgres.get_hostaddrs());
    let ports = postgres.get_ports();
    (0..hosts.len().max(addresses.len()))
        .map(|index| {
            let address = addresses.get(index).copied();
            let named = hosts.get(index).cloned();
            let host = named.or(address.map(|address| Host::Tcp(address.to_string())));
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            Place {
                host: host.unwrap_or(Host::Tcp(String::new())),
                address,
                port,
            }
        })
        .collect()
}

/// `limit`: within which this must end.
async fn at(
    place: &Place,
    postgres: &PgConfig,
    tls: &Tls,
    options: &Options,
    timings: &Timings,
    limit: Duration,
) -> Result<Session, Error> {
    let (opened, socket, ends) = open(place, postgres, tls, timings).await?;
    let (mut session, pooled) = finish(opened, socket, ends, postgres, options).await?;
    if pooled {
        let same = place.at(ends);
        let second = async {
            let (opened, ..) = open(&same, postgres, tls, timings).await?;
            Ok(opened)
        };
        let Session {
            client,
            messages,
            pid,
            ..
        } = &mut session;
        pooler::keeps_backends(client, messages, *pid, second, limit / 2).await?;
    }
    Ok(session)
}

async fn open(
    place: &Place,
    postgres: &PgConfig,
    tls: &Tls,
    timings: &Timings,
) -> Result<(Opened, SocketGuard, Ends), Error> {
    let unreachable =
        |error: std::io::Error| Error::caused(Kind::Unreachable(error.to_string()), error);
    let name = match &place.host {
        Host::Unix(directory) => {
            let before = clock::now();
            let stream = socket::unix(directory, place.port)
                .await
                .map_err(unreachable)?;
            let guard = socket::guard(&stream).map_err(unreachable)?;
            let ends = Ends::Unix(Peer::of(&stream, before));
            let opened = start(postgres, stream, tokio_postgres::NoTls).await?;
            return Ok((opened, guard, ends));
        }
        Host::Tcp(name) => name,
    };
    let addresses: Vec<_> = match place.address {
        Some(address) => vec![(address, place.port).into()],
        None => tokio::net::lookup_host((name.as_str(), place.port))
            .await
            .map_err(unreachable)?
            .collect(),
    };
    let mut last = Error::new(Kind::Unreachable("the name has no address".to_owned()));
    for address in addresses {
        let stream = match socket::tcp(address, timings).await {
            Ok(stream) => stream,
            Err(error) => {
                last = unreachable(error);
                continue;
            }
        };
        let guard = socket::guard(&stream).map_err(unreachable)?;
        let ends = Ends::Tcp {
            local: stream.local_addr().map_err(unreachable)?,
            peer: stream.peer_addr().map_err(unreachable)?,
        };
        let opened = tls.start(postgres, stream, name).await?;
        return Ok((opened, guard, ends));
    }
    Err(last)
}

pub(super) type Opened = (Client, Messages);

/// Speak the startup of the protocol on a socket.
pub(super) async fn start<S, T>(postgres: &PgConfig, stream: S, tls: T) -> Result<Opened, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsConnect<S>,
    T::Stream: Send + 'static,
{
    let (client, connection) =
        postgres
            .connect_raw(stream, tls)
            .await
            .map_err(|error| match error.code() {
                // PgBouncer's code for a startup parameter that it does not pass on.
                Some(&SqlState::PROTOCOL_VIOLATION) => {
                    let why = error.as_db_error().map_or("", |db| db.message()).to_owned();
                    Error::caused(Kind::Pooler(why), error)
                }
                Some(&SqlState::UNDEFINED_OBJECT) => {
                    let why = error.as_db_error().map_or("", |db| db.message());
                    let kind = if options::names_a_new_setting(why) {
                        Kind::TooOld(format!("too old to know a setting: {why}"))
                    } else {
                        Kind::Conninfo(why.to_owned())
                    };
                    Error::caused(kind, error)
                }
                None if lacks_password(&error) => Error::caused(
                    Kind::Conninfo(
                        "the server asks for a password, and it names none (PGPASSWORD and ~/.pgpass are \
                         looked at where the environment is)"
                            .to_owned(),
                    ),
                    error,
                ),
                _ => Error::session("connecting", error),
            })?;
    // Hazard: after its end a connection tells it again and again, and holds the requests that it cannot answer.
    let mut connection = Some(connection);
    let messages = stream::poll_fn(move |cx| {
        let Some(open) = &mut connection else {
            return Poll::Ready(None);
        };
        let message = ready!(open.poll_message(cx));
        if !matches!(message, Some(Ok(_))) {
            connection = None;
        }
        Poll::Ready(message)
    });
    Ok((client, Box::pin(messages)))
}

fn lacks_password(error: &tokio_postgres::Error) -> bool {
    use std::error::Error as _;
    error
        .source()
        .is_some_and(|cause| cause.to_string() == "password missing")
}

/// The session, and whether a pooler is between.
async fn finish(
    (client, mut messages): Opened,
    socket: SocketGuard,
    ends: Ends,
    postgres: &PgConfig,
    options: &Options,
) -> Result<(Session, bool), Error> {
    let proof = with(&mut messages, prove::server(&client, options, ends)).await?;
    if proof.server_version >= 170_000 {
        with(
            &mut messages,
            client.batch_execute("SET transaction_timeout = 0"),
        )
        .await
        .map_err(|error| Error::session("SET transaction_timeout", error))?;
    }
    let pgpool = !proof.direct && with(&mut messages, pooler::is_pgpool(&client)).await?;
    let session = Session {
        messages,
        client: Arc::new(client),
        socket,
        pid: proof.pid,
        direct: proof.direct,
        pgpool,
        role: postgres.get_user().unwrap_or_default().to_owned(),
        hosts: None,
    };
    Ok((session, proof.pooled))
}

/// Drive the connection until `query` is answered. Notifications that come meanwhile are dropped: nothing
/// was read yet that they could make stale.
pub(crate) async fn with<F: Future>(messages: &mut Messages, query: F) -> F::Output {
    let mut query = pin!(query);
    poll_fn(|cx| {
        while let Poll::Ready(Some(_)) = messages.poll_next_unpin(cx) {}
        query.as_mut().poll(cx)
    })
    .await
}
