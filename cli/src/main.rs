//! The command `pg-leader`. `pg-leader --help` is its documentation.
//!
//! One file a subcommand, with a struct `Arguments` that parses its part of the command line and an
//! `execute`; [`arguments`] lists them.

mod arguments;
mod completions;
mod connection;
mod doctor;
mod exit;
mod guard;
mod history;
mod install;
mod launch;
mod levers;
mod log;
mod man;
mod message;
mod output;
mod platform;
mod rebalance;
mod run;
mod status;
mod trouble;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Subcommand};
use exit::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::take_panics();
    tracing_subscriber::fmt()
        .with_max_level(arguments.verbosity.tracing_level_filter())
        .with_writer(|| log::Lines)
        .log_internal_errors(false)
        .with_ansi(console::colors_enabled_stderr())
        .with_target(false)
        .init();
    let code = execute(arguments).unwrap_or_else(|failure| {
        log::say(format_args!("pg-leader: {failure}"));
        failure.exit_code()
    });
    log::flush();
    code
}

fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        connection,
        subcommand,
        ..
    } = arguments;
    match subcommand {
        Subcommand::Run(run) => block_on(run.execute(&connection)),
        Subcommand::Status(status) => block_on(status.execute(&connection)),
        Subcommand::Watch(watch) => block_on(watch.execute(&connection)),
        Subcommand::History(history) => block_on(history.execute(&connection)),
        Subcommand::Rebalance(rebalance) => block_on(rebalance.execute(&connection)),
        Subcommand::Lever(lever) => block_on(lever.execute(&connection)),
        Subcommand::Install(install) => block_on(install.execute(&connection)),
        Subcommand::Doctor(doctor) => block_on(doctor.execute(&connection)),
        Subcommand::Completions(completions) => completions.execute(Arguments::command()),
        Subcommand::Man(man) => man.execute(Arguments::command()),
        Subcommand::Guard(guard) => guard.execute(),
        Subcommand::Launch(launch) => launch.execute(),
    }
}

fn block_on(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::runtime::Runtime::new()
        .map_err(|error| Failure::system("cannot start a runtime", &error))?
        .block_on(work)
}
