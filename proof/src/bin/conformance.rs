//! `cargo conformance`: the pretend server and PostgreSQL side by side, until they differ or time is up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use pg_leader_proof::conformance::{Coverage, MAY_DIFFER, Server, run};

/// Do the same on the pretend server of the checker and the simulator, and on a throw-away PostgreSQL.
///
/// Ends with 1 where they differ, after the last steps and what each made of the last one, and where something was
/// never drawn. Needs the binaries of PostgreSQL: `PG_LEADER_POSTGRES_BIN` says where they are.
#[derive(Parser)]
#[command(name = "cargo conformance")]
struct Arguments {
    /// The first seed; the others follow it. By default a fresh one, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds at most.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// How many seconds to go on at most.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Print what may differ, and why.
    #[arg(long)]
    may_differ: bool,
}

/// So many runs meet every request and every way to end a session.
const ENOUGH: u64 = 8;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.may_differ {
        for (what, why) in MAY_DIFFER {
            println!("{what}: {why}");
        }
        return ExitCode::SUCCESS;
    }
    match compare(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(arguments: &Arguments) -> pg_leader_proof::Result<ExitCode> {
    let mut server = Server::start()?;
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    println!("PostgreSQL {}, first seed: {first}", server.version());
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut coverage = Coverage::default();
    let mut runs = 0;
    while runs < arguments.runs && Instant::now() < until {
        let run = run(&mut server, first + runs)?;
        runs += 1;
        coverage.merge(&run.coverage);
        if let Some(difference) = run.difference {
            println!("{}\n{difference}", server.log());
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("{coverage}\n{runs} runs came out alike");
    // A few runs, say to look at one again, cannot meet everything.
    let missing = coverage.undrawn();
    for missing in &missing {
        println!("NEVER DRAWN: {missing}");
    }
    Ok(if missing.is_empty() || runs < ENOUGH {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
