//! Where the database is: the options that every subcommand has.

use pg_leader::{Config, Operator};

use crate::exit::Failure;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The database: a URL or a key-value string, as libpq reads them.
    ///
    /// What it leaves out comes from where every Postgres tool looks for it: a service (service=, PGSERVICE,
    /// PGSERVICEFILE), PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGOPTIONS, PGCONNECT_TIMEOUT,
    /// PGSSLMODE, PGSSLROOTCERT, and a password file (passfile=, PGPASSFILE, ~/.pgpass). A password is refused
    /// here, where everybody who may list processes can read it.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
}

impl Connection {
    /// `what` names the session in pg_stat_activity.
    pub(crate) fn config(&self, what: &str) -> Result<Config, Failure> {
        let conninfo = self.database_url.as_deref().unwrap_or_default();
        let config = Config::new(conninfo)
            .environment(true)
            .application_name(format!("pg-leader {what}"));
        if config.has_password()? && is_argument(conninfo) {
            return Err(Failure::usage(
                "a password on the command line can be read by everybody who may list processes: put it into \
                 ~/.pgpass or PGPASSWORD, or the whole URL into DATABASE_URL",
            ));
        }
        Ok(config)
    }

    pub(crate) async fn operator(&self, what: &str) -> Result<Operator, Failure> {
        Ok(Operator::connect(self.config(what)?).await?)
    }
}

/// Whether it was given as an argument, not by the environment.
fn is_argument(conninfo: &str) -> bool {
    std::env::args_os().any(|argument| argument.to_string_lossy().ends_with(conninfo))
}
