//! `pg-leader man`: made from the command line's own description.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::exit::Failure;
use crate::output::print_text;

/// Print the manual page, or write one for each subcommand into a directory.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader man | man -l -
  pg-leader man --directory /usr/local/share/man/man1")]
pub(crate) struct Arguments {
    /// Write pg-leader.1, pg-leader-status.1 and so on there.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Arguments {
    /// `command`: the whole command line.
    pub(crate) fn execute(self, command: clap::Command) -> Result<ExitCode, Failure> {
        let failed = |error| Failure::system("cannot write the manual page", &error);
        match self.directory {
            Some(directory) => clap_mangen::generate_to(command, directory).map_err(failed)?,
            None => {
                let mut page = vec![];
                clap_mangen::Man::new(command)
                    .render(&mut page)
                    .map_err(failed)?;
                print_text(String::from_utf8_lossy(&page))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
