//! `cargo pictures`: see `cargo pictures --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pg_leader_lab::pictures::main()
}
