//! `pg-leader install`: the schema.

use std::process::ExitCode;

use pg_leader::operator::Operator;

use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{print, print_text};

/// Install the schema pgleader, or what a later version has added to it.
///
/// The role becomes its owner and needs CREATE on the database. pg-leader run does it only with --install, and a
/// program with its first connect, unless it says otherwise. A schema of this version or of a newer one is left as
/// it is. A lock that others hold is waited for in steps of 50 ms, for 10 s in all.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader install
  pg-leader install --print | psql -v ON_ERROR_STOP=1 app

Then let the roles of your processes take part, of your people operate, of your monitoring look:
  SELECT pgleader.grant_candidate('app');
  SELECT pgleader.grant_operator('alice');
  SELECT pgleader.grant_observer('monitoring');")]
pub(crate) struct Arguments {
    /// Print the SQL instead of running it. Needs no database.
    #[arg(long)]
    print: bool,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        if self.print {
            print_text(Operator::install_script())?;
            return Ok(ExitCode::SUCCESS);
        }
        let installed = connection.operator("install").await?.install().await?;
        print(match installed.before {
            None => format!(
                "The schema pgleader is installed, version {}. Next: SELECT pgleader.grant_candidate('ROLE') for \
                 the roles of your processes.",
                installed.now
            ),
            Some(before) if before < installed.now => format!(
                "The schema pgleader went from version {before} to {}.",
                installed.now
            ),
            Some(before) => {
                format!(
                    "The schema pgleader is there already, version {before}. Nothing was changed."
                )
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
