//! From nothing to a session that listens.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, Kind};
use crate::protocol::Timings;
use crate::schema;
use crate::session::connect::{self, Session};
use crate::session::statements::{self, Link};

/// A session that listens, its statements prepared.
pub(super) struct Opened {
    pub(super) session: Session,
    pub(super) link: Link,
    pub(super) instance: String,
}

/// Connect, see to the schema, listen: all that must be done before anything is read.
pub(super) async fn open(
    config: Config,
    timings: Timings,
    instance: Option<Arc<str>>,
) -> Result<Opened, Error> {
    let mut session = connect::connect(&config, &timings).await?;
    let client = Arc::clone(&session.client);
    let pgpool = session.pgpool;
    if pgpool {
        tracing::warn!(
            "behind pgpool-II: this session is never ended by force, since pgpool would detach the server; \
             a leader that hangs is followed after its silence limit"
        );
    }
    let role = session.role.clone();
    let prepare = async {
        // LISTEN, then read: no gap. Pipelined with the check.
        let (checked, listening) = futures_util::join!(
            schema::check(&client, &role),
            client.batch_execute("LISTEN pg_leader")
        );
        listening.map_err(|error| Error::session("LISTEN", error))?;
        if let Err(error) = checked {
            // Never over a newer schema: its functions would be replaced by older ones.
            let may = config.install
                && match error.kind() {
                    Kind::SchemaMissing { .. } => true,
                    Kind::SchemaVersion { found, oldest, .. } => found < oldest,
                    _ => false,
                };
            if !may {
                return Err(error);
            }
            tracing::info!("installing the schema pgleader");
            schema::install(&client, &role).await?;
        }
        let link = Link::prepare(Arc::clone(&client), pgpool).await?;
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
