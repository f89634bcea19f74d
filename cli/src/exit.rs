//! Exit codes, and the failures behind them.

use std::process::ExitCode;

use pg_leader::ErrorKind;

pub(crate) const HELP: &str = "\
Start here:
  export DATABASE_URL=postgres://app@db/app      or PGHOST and its family, PGSERVICE, ~/.pgpass;
                                                 PG_LEADER_DATABASE_URL comes before it
  pg-leader doctor                               can a candidate work here?
  pg-leader install                              the schema, once a database
  pg-leader run --election billing --address 10.0.0.5:8080 -- ./billing-worker
  pg-leader status                               who leads, and what is wrong

Exit status (a subcommand's own help says where it differs):
  0  done
  1  it failed
  2  the command line or a setting is wrong
  3  no connection to the server: trying again may help
  4  the server cannot be used: it lets nobody in so, it is unfit, or its schema is missing, old or forbidden
  5  status of one election: nobody leads it
  6  there is no such election
  7  doctor: warnings
  125 and more  run: see its own help";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_CONNECTION: u8 = 3;
pub(crate) const UNUSABLE: u8 = 4;
/// `status` of one election: nobody leads it.
pub(crate) const NOT_LED: u8 = 5;
pub(crate) const UNKNOWN_ELECTION: u8 = 6;
pub(crate) const DOCTOR_WARNS: u8 = 7;

/// As `env`, `nohup` and `timeout` have it, so that what goes wrong before a command runs is not taken for the
/// command's own status.
pub(crate) const OURSELVES: u8 = 125;
pub(crate) const NOT_EXECUTABLE: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// Why what was asked for was not done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            code: USAGE,
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            code: FAILED,
        }
    }

    pub(crate) fn no_election(name: &str) -> Failure {
        Failure {
            message: format!(
                "there is no election named \"{name}\" in this database: pg-leader status lists them"
            ),
            code: UNKNOWN_ELECTION,
        }
    }

    pub(crate) fn system(doing: &str, error: &std::io::Error) -> Failure {
        Failure {
            message: format!("{doing}: {error}"),
            code: FAILED,
        }
    }

    /// The same with the exit code of the subcommand's own. A wrong command line has the same everywhere.
    pub(crate) fn with_code(self, code: u8) -> Failure {
        match self.code {
            USAGE => self,
            _ => Failure { code, ..self },
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<pg_leader::Error> for Failure {
    fn from(error: pg_leader::Error) -> Failure {
        let code = match error.kind() {
            ErrorKind::NoElection => UNKNOWN_ELECTION,
            ErrorKind::Configuration => USAGE,
            ErrorKind::Connection => NO_CONNECTION,
            ErrorKind::Denied
            | ErrorKind::UnfitServer
            | ErrorKind::Standby
            | ErrorKind::Pooler
            | ErrorKind::Schema
            | ErrorKind::SchemaBusy
            | ErrorKind::NotGranted => UNUSABLE,
            _ => FAILED,
        };
        Failure {
            message: error.to_string(),
            code,
        }
    }
}
