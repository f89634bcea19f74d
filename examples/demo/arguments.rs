//! The command line.

use clap::{Parser, Subcommand};

/// Three processes, five mishaps, never two leaders.
///
/// Starts three candidates, each a process of its own, and shows who leads. Then the leader steps down, its
/// session is killed from SQL, its process is killed with kill -9, another is stopped with SIGSTOP and
/// continued later, and the server crashes. For each the demo prints how long nobody was at work, how long
/// two were (never), and the new term. Takes about 15 seconds.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo",
    after_help = "EXIT STATUS\n  \
        0    everything held: never two at work, terms rise, every gap within its bound\n  \
        1    something did not hold, or could not be done\n  \
        2    the command line is wrong\n  \
        130  interrupted\n\n\
        ENVIRONMENT\n  \
        DATABASE_URL           the database to use instead of a throw-away cluster\n  \
        PG_LEADER_POSTGRES_BIN the directory of the server's binaries, for the throw-away cluster\n  \
        NO_COLOR               plain lines\n"
)]
pub(crate) struct Arguments {
    /// Use this database instead of a throw-away cluster. Such a server is not crashed; the schema
    /// `pgleader` and the history of one election stay there.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) database_url: Option<String>,

    /// Stay up afterwards until Ctrl-C, and print how to connect with psql and what to try there.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Plain lines instead of the live view, as when stdout is no terminal.
    #[arg(long)]
    pub(crate) plain: bool,

    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What else this binary is.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// A candidate: the demo starts three of them. Ends when its standard input does.
    #[command(hide = true)]
    Candidate { election: String, address: String },
}

impl Arguments {
    /// The database that was named; an empty variable names none.
    pub(crate) fn named_database(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
}
