//! `cargo pictures`: see `cargo pictures --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pg_leader_proof::pictures::main()
}
