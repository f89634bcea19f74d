//! Where the database is: the options that every subcommand has.

use std::env;

use pg_leader::Config;
use pg_leader::operator::Operator;

use crate::exit::Failure;

/// Where this program's database is, and nobody else's: it may hold a password that a command has no business with.
pub(crate) const OURS: &str = "PG_LEADER_DATABASE_URL";

/// Where a program's database is that may be the command's, too.
const SHARED: &str = "DATABASE_URL";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The database: a URL or a key-value string, as libpq reads them.
    ///
    /// What it leaves out comes from where every Postgres tool looks for it: a service (service=, PGSERVICE,
    /// PGSERVICEFILE), PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGOPTIONS, PGCONNECT_TIMEOUT,
    /// PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, a password file (passfile=, PGPASSFILE, ~/.pgpass), and the
    /// certificates in ~/.postgresql. A password is refused here, where everybody who may list processes can read it.
    ///
    /// Without this option it is that of PG_LEADER_DATABASE_URL, else that of DATABASE_URL; an empty variable is none.
    /// A command that pg-leader runs finds DATABASE_URL as it is, for it is its own, and never PG_LEADER_DATABASE_URL:
    /// so a direct connection for pg-leader and a pooled one for the command stand side by side.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

impl Connection {
    /// `what` names the session in pg_stat_activity.
    pub(crate) fn config(&self, what: &str) -> Result<Config, Failure> {
        let config = Config::new(self.conninfo()?)
            .environment(true)
            .application_name(format!("pg-leader {what}"));
        if self.database_url.is_some() && config.has_password()? {
            return Err(Failure::usage(
                "a password on the command line can be read by everybody who may list processes: put it into \
                 ~/.pgpass or PGPASSWORD, or the whole URL into PG_LEADER_DATABASE_URL",
            ));
        }
        Ok(config)
    }

    /// Empty where nothing names a database.
    fn conninfo(&self) -> Result<String, Failure> {
        if let Some(given) = &self.database_url {
            return Ok(given.clone());
        }
        let named = [OURS, SHARED].map(|name| (name, env::var_os(name).unwrap_or_default()));
        let named = named.into_iter().find(|(_, value)| !value.is_empty());
        let (name, value) = named.unwrap_or_default();
        let no_text = |_| Failure::usage(format!("{name} is no text in UTF-8"));
        value.into_string().map_err(no_text)
    }

    pub(crate) async fn operator(&self, what: &str) -> Result<Operator, Failure> {
        Ok(Operator::connect(self.config(what)?).await?)
    }
}
