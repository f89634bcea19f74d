//! The command line.

use clap::Parser;
use clap_verbosity_flag::{InfoLevel, Verbosity};

use crate::connection::Connection;
use crate::{
    completions, doctor, exit, guard, history, install, launch, levers, man, rebalance, run,
    status, watch,
};

/// Leader election between processes that already share a PostgreSQL database.
///
/// One candidate of an election leads at any time. `pg-leader run` makes any program a candidate: the program
/// runs only while it leads.
#[derive(Debug, Parser)]
#[command(name = "pg-leader", version, max_term_width = 100, after_long_help = exit::HELP)]
pub(crate) struct Arguments {
    #[command(flatten, next_help_heading = "Logging")]
    pub(crate) verbosity: Verbosity<InfoLevel>,

    #[command(flatten)]
    pub(crate) connection: Connection,

    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    Run(run::Arguments),
    Status(status::Arguments),
    Watch(watch::Arguments),
    History(history::Arguments),
    #[command(flatten)]
    Lever(levers::Lever),
    Rebalance(rebalance::Arguments),
    Install(install::Arguments),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),

    // What `run` starts.
    #[command(hide = true)]
    Guard(guard::Arguments),
    #[command(hide = true)]
    Launch(launch::Arguments),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_coherent() {
        Arguments::command().debug_assert();
    }
}
