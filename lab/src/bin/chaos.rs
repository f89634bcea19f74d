//! `cargo chaos`: see `cargo chaos --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pg_leader_lab::chaos::main()
}
