//! `pg-leader man` and `pg-leader completions`: made from the command line's own description.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::arguments;
use crate::exit::Failure;
use crate::output::print;

/// Print the manual page, or write one for each subcommand into a directory.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader man | man -l -
  pg-leader man --directory /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write pg-leader.1, pg-leader-status.1 and so on there.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Man {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let command = arguments::Arguments::command();
        let failed = |error| Failure::system("cannot write the manual page", &error);
        match self.directory {
            Some(directory) => clap_mangen::generate_to(command, directory).map_err(failed)?,
            None => {
                let mut page = vec![];
                clap_mangen::Man::new(command)
                    .render(&mut page)
                    .map_err(failed)?;
                print(String::from_utf8_lossy(&page))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader completions bash >/etc/bash_completion.d/pg-leader
  pg-leader completions fish >~/.config/fish/completions/pg-leader.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let mut script = vec![];
        let mut command = arguments::Arguments::command();
        clap_complete::generate(self.shell, &mut command, "pg-leader", &mut script);
        print(String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
