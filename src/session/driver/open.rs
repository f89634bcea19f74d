//! From nothing to a session that listens.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::config::Config;
use crate::engine::Timings;
use crate::error::{Error, Kind};
use crate::schema;
use crate::session::connect::{self, Session};
use crate::session::hosts::Known;
use crate::session::log::{Entry, Log};
use crate::session::prove;
use crate::session::statements::{self, Link};

/// A session that listens, its statements prepared.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) link: Link,
    pub(super) instance: String,
}

/// Connect, see to the schema, listen: all that must be done before anything is read.
///
/// Only the `first` session of a process installs: where the schema is gone later, a new one would begin
/// its terms at 1 again (invariant 2).
pub(super) async fn open(
    config: Config,
    timings: Timings,
    instance: Option<Arc<str>>,
    first: bool,
    known: Known,
    log: Log,
) -> Result<Opened, Error> {
    let mut session = connect::connect_and_say(&config, &timings, &known, &log).await?;
    let client = Arc::clone(&session.client);
    let pgpool = session.pgpool;
    if pgpool {
        log.say(Entry::new(
            Level::WARN,
            "behind pgpool-II: this session is never ended by force, since pgpool would detach the server; \
             a leader that hangs is followed after its silence limit",
        ));
    }
    let role = session.role.clone();
    let prepare = async {
        let check = schema::check(&client, &role);
        let listen = client.batch_execute("LISTEN pg_leader");
        let mark = prove::mark(&client);
        // LISTEN, then read: no gap. Pipelined with the check; but pgpool-II answers no more where a request fails
        // while others are under way.
        let (checked, listening, mark) = if pgpool {
            (check.await, listen.await, mark.await)
        } else {
            tokio::join!(biased; check, listen, mark)
        };
        listening.map_err(|error| Error::session("LISTEN", error))?;
        let mark = mark?;
        if let Err(error) = checked {
            // Never over a newer schema: its functions would be replaced by older ones.
            let may = first
                && config.install
                && match error.kind() {
                    Kind::SchemaMissing { .. } => true,
                    Kind::SchemaVersion { found, oldest, .. } => found < oldest,
                    _ => false,
                };
            if !may {
                return Err(match error.kind() {
                    Kind::SchemaMissing { .. } if !first => {
                        Error::caused(Kind::SchemaVanished, error)
                    }
                    _ => error,
                });
            }
            log.say(Entry::new(Level::INFO, "installing the schema pgleader"));
            schema::install(&client, &role).await?;
        }
        let link = Link::prepare(Arc::clone(&client), mark, pgpool).await?;
        let instance = match &instance {
            Some(instance) => instance.to_string(),
            None => statements::new_instance(&link).await?,
        };
        Ok((link, instance))
    };
    let limit = Duration::from_secs(30);
    let prepared = tokio::time::timeout(limit, connect::with(&mut session.messages, prepare)).await;
    let (link, instance) = prepared.map_err(|_| {
        Error::new(Kind::Session(format!(
            "the schema was not ready within {limit:?}"
        )))
    })??;
    Ok(Opened {
        session,
        link,
        instance,
    })
}
