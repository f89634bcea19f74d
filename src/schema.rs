//! The schema's migrations: their check and their installation.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind};

/// Every migration in order, as `psql -f` runs them too. Each is one transaction, takes a lock against
/// other installers, and changes nothing the second time.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../sql/migrations/0001_elections.sql"),
    include_str!("../sql/migrations/0002_fencing.sql"),
    include_str!("../sql/migrations/0003_levers.sql"),
    include_str!("../sql/migrations/0004_views.sql"),
    include_str!("../sql/migrations/0005_rights.sql"),
];

/// The version of the schema that this build brings.
const SCHEMA_VERSION: i32 = 2;
/// From here a schema is no longer an extension of ours.
const NEXT_GENERATION: i32 = 100;

/// Whether a schema of this version lacks what this build brings.
pub(crate) fn is_older(version: i32) -> bool {
    version < SCHEMA_VERSION
}

/// The version of the schema that is there, which this role may use.
pub(crate) async fn version(client: &Client, role: &str) -> Result<i32, Error> {
    let rows = client
        .query_typed("SELECT pgleader.version()", &[])
        .await
        .map_err(|error| {
            let role = role.to_owned();
            match error.code() {
                Some(&SqlState::INVALID_SCHEMA_NAME | &SqlState::UNDEFINED_FUNCTION) => {
                    Error::caused(Kind::SchemaMissing { role }, error)
                }
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    Error::caused(Kind::SchemaForbidden { role }, error)
                }
                _ => Error::session("reading the schema's version", error),
            }
        })?;
    rows.first()
        .and_then(|row| row.try_get(0).ok())
        .ok_or_else(|| {
            Error::new(Kind::Unexpected(
                "pgleader.version() is no number".to_owned(),
            ))
        })
}

/// That the schema is there, this role may use it, and this build understands it.
pub(crate) async fn check(client: &Client, role: &str) -> Result<(), Error> {
    let found = version(client, role).await?;
    let remedy = match found {
        SCHEMA_VERSION..NEXT_GENERATION => return Ok(()),
        NEXT_GENERATION.. => "use a newer build of this program",
        _ => "run pg-leader install, or sql/migrations/*.sql with psql -f, as the schema's owner",
    };
    Err(Error::new(Kind::SchemaVersion {
        found,
        oldest: SCHEMA_VERSION,
        newest: NEXT_GENERATION - 1,
        remedy,
    }))
}

/// A deadlock with somebody who reads the views that are being made is tried again so often.
const TRIES: usize = 5;

/// Install what is missing.
pub(crate) async fn install(client: &Client, role: &str) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let Err(error) = migrate(client).await else {
            return check(client, role).await;
        };
        let deadlock = error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED);
        let forbidden = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        if !forbidden && (!deadlock || tries == TRIES) {
            return Err(Error::session("installing the schema", error));
        }
        let rollback = client.batch_execute("ROLLBACK").await;
        rollback.map_err(|error| Error::session("installing the schema", error))?;
        // Another installer may have done it meanwhile.
        match check(client, role).await {
            Ok(()) => return Ok(()),
            // It is there: what is wrong is not that it is missing.
            Err(why) if forbidden && !matches!(why.kind(), Kind::SchemaMissing { .. }) => {
                return Err(why);
            }
            Err(_) if forbidden => {
                let role = role.to_owned();
                return Err(Error::caused(Kind::SchemaMissing { role }, error));
            }
            Err(_) => {}
        }
    }
}

async fn migrate(client: &Client) -> Result<(), tokio_postgres::Error> {
    for migration in MIGRATIONS {
        client.batch_execute(migration).await?;
    }
    Ok(())
}
