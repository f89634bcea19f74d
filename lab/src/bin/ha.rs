//! `cargo ha`: see `cargo ha --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pg_leader_lab::ha::main()
}
