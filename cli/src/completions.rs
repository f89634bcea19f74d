//! `pg-leader completions`: made from the command line's own description.

use std::process::ExitCode;

use crate::exit::Failure;
use crate::output::print_text;

/// Print completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader completions bash >/etc/bash_completion.d/pg-leader
  pg-leader completions fish >~/.config/fish/completions/pg-leader.fish")]
pub(crate) struct Arguments {
    /// The shell.
    shell: clap_complete::Shell,
}

impl Arguments {
    /// `command`: the whole command line.
    pub(crate) fn execute(self, mut command: clap::Command) -> Result<ExitCode, Failure> {
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut command, "pg-leader", &mut script);
        print_text(String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
