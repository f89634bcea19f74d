//! Exit codes, and the failures behind them.

use std::process::ExitCode;

pub(crate) const HELP: &str = "\
Exit status (a subcommand's own help says where it differs):
  0  done
  1  it failed
  2  the command line or a setting is wrong
  3  no connection to the server: trying again may help
  4  the server was reached and cannot be used: it is unfit, or its schema is missing, old or forbidden";

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NO_CONNECTION: u8 = 3;
const UNUSABLE: u8 = 4;

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

    pub(crate) fn system(doing: &str, error: &std::io::Error) -> Failure {
        Failure {
            message: format!("{doing}: {error}"),
            code: FAILED,
        }
    }

    /// The same with the exit code of the subcommand's own.
    pub(crate) fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<pg_leader::Error> for Failure {
    fn from(error: pg_leader::Error) -> Failure {
        let code = if error.is_configuration() {
            USAGE
        } else if error.is_connection() {
            NO_CONNECTION
        } else if error.is_unfit_server() || error.is_schema() {
            UNUSABLE
        } else {
            FAILED
        };
        Failure {
            message: error.to_string(),
            code,
        }
    }
}
