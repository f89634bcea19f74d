//! From nothing to a session that listens.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;
use tracing::Level;

use super::door::{Door, Opened, Opening};
use super::line::Line;
use crate::config::Config;
use crate::connection::{Connection, connect_and_say, fitness, schema};
use crate::engine::{Search, Timings};
use crate::error::{Error, Kind};
use crate::foreign::log::{Entry, Log};
use crate::statements::{Constants, Link, Unanswered};

/// What makes a session of a connection, the installing of the schema included, is over within that.
const PREPARE_LIMIT: Duration = Duration::from_secs(30);

/// The door to the database that a configuration names.
pub(crate) struct Postgres {
    pub(crate) config: Config,
    pub(crate) timings: Timings,
    pub(crate) log: Log,
}

impl Door for Postgres {
    type Session = Line;

    fn open(&self, instance: Option<Arc<str>>, first: bool, search: Search) -> Opening<Line> {
        let (config, timings, log) = (self.config.clone(), self.timings.clone(), self.log.clone());
        Box::pin(open(config, timings, instance, first, search, log))
    }
}

/// Connect, see to the schema, listen: all that must be done before anything is read.
///
/// Only the `first` session of a process installs: where the schema is gone later, a new one would begin
/// its terms at 1 again (invariant 2).
async fn open(
    config: Config,
    timings: Timings,
    instance: Option<Arc<str>>,
    first: bool,
    search: Search,
    log: Log,
) -> Result<Opened<Line>, Error> {
    let say = |warning| log.say(Entry::new(Level::WARN, warning));
    let mut connection = connect_and_say(&config, &timings, &search, &say).await?;
    let client = Arc::clone(connection.wire.client());
    let pgpool = connection.pgpool;
    if pgpool {
        log.say(Entry::new(
            Level::WARN,
            "behind pgpool-II: this session is never ended by force, since pgpool would detach the server; \
             a leader that hangs is followed after its silence limit",
        ));
    }
    let given = Given {
        direct: connection.direct,
        pgpool,
        role: connection.role.clone(),
        instance,
        may_install: first && config.install,
        first,
    };
    let prepare = prepare(client, given, &config, &timings, &log);
    let prepared = tokio::time::timeout(PREPARE_LIMIT, connection.wire.drive(prepare)).await;
    let link = prepared.map_err(|_| {
        Error::new(Kind::Session(format!(
            "the schema was not ready within {PREPARE_LIMIT:?}"
        )))
    })??;
    let Connection {
        wire,
        pid,
        direct,
        hosts,
        ..
    } = connection;
    let instance = Arc::clone(link.instance());
    Ok(Opened {
        session: Line::new(wire, link, log),
        pid,
        direct,
        instance,
        hosts,
    })
}

/// What is known before anything is asked.
struct Given {
    direct: bool,
    pgpool: bool,
    role: String,
    instance: Option<Arc<str>>,
    may_install: bool,
    first: bool,
}

/// The schema is fit, the session listens, and its statements are prepared.
async fn prepare(
    client: Arc<Client>,
    given: Given,
    config: &Config,
    timings: &Timings,
    log: &Log,
) -> Result<Link, Error> {
    let check = schema::check(&client, &given.role);
    let listen = client.batch_execute("LISTEN pg_leader");
    let mark = fitness::mark(&client);
    // LISTEN, then read: no gap. Pipelined with the check; but pgpool-II answers no more where a request fails
    // while others are under way.
    let (checked, listening, mark) = if given.pgpool {
        (check.await, listen.await, mark.await)
    } else {
        tokio::join!(biased; check, listen, mark)
    };
    listening.map_err(|error| Error::session("LISTEN", error))?;
    let mark = mark?;
    if let Err(error) = checked {
        may_be_installed(error, &given)?;
        log.say(Entry::new(Level::INFO, "installing the schema pgleader"));
        schema::install(&client, &given.role).await?;
    }
    let constants = Constants {
        mark,
        instance: given.instance,
        direct: given.direct,
        pgpool: given.pgpool,
        application: config.application_name.clone(),
        lease: timings.lease,
        silence_limit: timings.silence_limit,
        announce_limit: timings.announce_limit(),
    };
    Ok(Link::prepare(client, constants).await?)
}

/// Never over a newer schema: its functions would be replaced by older ones.
fn may_be_installed(error: Error, given: &Given) -> Result<(), Error> {
    match error.what() {
        Kind::SchemaMissing { .. } if given.may_install => Ok(()),
        Kind::SchemaVersion { found, oldest, .. } if given.may_install && found < oldest => Ok(()),
        Kind::SchemaMissing { .. } if !given.first => {
            Err(Error::caused(Kind::SchemaVanished, error))
        }
        _ => Err(error),
    }
}

impl From<Unanswered> for Error {
    fn from(error: Unanswered) -> Error {
        let what = error.to_string();
        match error {
            Unanswered::Session { source, .. } => Error::caused(Kind::Session(what), source),
            Unanswered::Pooler { source, .. } => Error::caused(Kind::Pooler(what), source),
            Unanswered::Unexpected(_) => Error::new(Kind::Unexpected(what)),
        }
    }
}
