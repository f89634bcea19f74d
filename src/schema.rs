//! The schema's migrations, and their installation.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind};

/// Every migration in order, as `psql -f` runs them too. Each is one transaction, takes a lock against
/// other installers, and changes nothing the second time.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../sql/migrations/0001_elections.sql"),
    include_str!("../sql/migrations/0002_fencing.sql"),
    include_str!("../sql/migrations/0003_rights.sql"),
];

/// Install what is missing.
pub(crate) async fn install(client: &Client, role: &str) -> Result<(), Error> {
    for migration in MIGRATIONS {
        client
            .batch_execute(migration)
            .await
            .map_err(|error| match error.code() {
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Error::caused(
                    Kind::SchemaMissing {
                        role: role.to_owned(),
                    },
                    error,
                ),
                _ => Error::session("installing the schema", error),
            })?;
    }
    Ok(())
}
