//! The schema's chapters: their check and their installation.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind};

/// Every chapter in order, as one transaction: nobody finds half of a schema. It takes a lock against other installers,
/// and changes nothing the second time.
pub(crate) const SCRIPT: &str = concat!(
    "BEGIN;\n",
    include_str!("../../sql/schema/00_begin.sql"),
    include_str!("../../sql/schema/01_tables.sql"),
    include_str!("../../sql/schema/02_arguments.sql"),
    include_str!("../../sql/schema/03_server.sql"),
    include_str!("../../sql/schema/04_joining.sql"),
    include_str!("../../sql/schema/05_terms.sql"),
    include_str!("../../sql/schema/06_turns.sql"),
    include_str!("../../sql/schema/07_campaign.sql"),
    include_str!("../../sql/schema/08_office.sql"),
    include_str!("../../sql/schema/09_ending.sql"),
    include_str!("../../sql/schema/10_eviction.sql"),
    include_str!("../../sql/schema/11_reading.sql"),
    include_str!("../../sql/schema/12_fencing.sql"),
    include_str!("../../sql/schema/13_levers.sql"),
    include_str!("../../sql/schema/14_views.sql"),
    include_str!("../../sql/schema/15_rights.sql"),
    "COMMIT;\n",
);

/// The version of the schema that this build brings. Until the first release each change is a generation of its own,
/// which builds of another one refuse in words.
const SCHEMA_VERSION: i32 = 105;
/// From here a schema is no longer an extension of ours.
const NEXT_GENERATION: i32 = SCHEMA_VERSION + 1;

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
        _ => "run pg-leader install, or pg-leader install --print | psql, as the schema's owner",
    };
    Err(Error::new(Kind::SchemaVersion {
        found,
        oldest: SCHEMA_VERSION,
        newest: NEXT_GENERATION - 1,
        remedy,
    }))
}

/// The schema, or something in it, is another role's than the installer's.
const ANOTHERS: &str = "PL004";
/// So long an installation tries to get past those who hold a lock that it needs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Who has locked what an installation changes.
const HOLDERS: &str = "
    SELECT string_agg(DISTINCT format('backend %s holds %s', l.pid, c.oid::regclass), ', ')
    FROM pg_locks AS l
    JOIN pg_class AS c ON c.oid = l.relation
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.granted AND l.pid <> pg_backend_pid() AND c.relnamespace::regnamespace::text = 'pgleader'";

/// Install what is missing.
///
/// It gives up after 50 ms of waiting for a lock and is run again: behind its wait those would queue who lead.
pub(crate) async fn install(client: &Client, role: &str) -> Result<(), Error> {
    let failed = |error| Error::session("installing the schema", error);
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSE[0];
    while let Err(error) = client.batch_execute(SCRIPT).await {
        client.batch_execute("ROLLBACK").await.map_err(failed)?;
        let waited = matches!(
            error.code(),
            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED)
        );
        let anothers = error.code().is_some_and(|code| code.code() == ANOTHERS);
        let forbidden = anothers || error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        if !forbidden && !waited {
            return Err(failed(error));
        }
        // Another installer may have done it meanwhile.
        match check(client, role).await {
            Ok(()) => return Ok(()),
            // It is there: what is wrong is not that it is missing.
            Err(why) if forbidden && !matches!(why.what(), Kind::SchemaMissing { .. }) => {
                return Err(why);
            }
            Err(_) if anothers => return Err(failed(error)),
            Err(_) if forbidden => {
                let role = role.to_owned();
                return Err(Error::caused(Kind::SchemaMissing { role }, error));
            }
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return Err(busy(client, error).await);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE[1]);
    }
    check(client, role).await
}

async fn busy(client: &Client, error: tokio_postgres::Error) -> Error {
    let holders = client.query_typed(HOLDERS, &[]).await.ok();
    let holders = holders.and_then(|rows| rows.first()?.try_get::<_, Option<String>>(0).ok()?);
    let message = error.as_db_error().map_or("", |db| db.message()).to_owned();
    Error::caused(Kind::SchemaBusy(holders.unwrap_or(message)), error)
}
