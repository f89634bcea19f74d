//! `cargo chaos`: see `cargo chaos --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pg_leader_proof::chaos::main()
}
