//! Chaos: real candidate processes on real servers, and a random schedule of faults. What happens is written down by
//! everybody in a log of his own; [`judge`] reads them.

mod arguments;
mod befall;
mod conductor;
mod crew;
mod database;
mod debugger;
mod faults;
pub mod judge;
mod plan;
mod relay;
mod stage;
mod standing;
mod stderr;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::{Result, candidate};
use arguments::{Arguments, Role};
use judge::{History, Report};

pub use plan::{Planned, Target, plan};

/// Where the processes are, and how each reaches the database.
#[cfg(feature = "pictures")]
pub(crate) const PLACES: [&str; crew::PLACES] = [
    "1 direct", "2 direct", "3 proxy", "4 proxy", "5 proxy", "6 socket", "7 relay",
];

/// Of the election with this number, from 0.
fn election(number: usize) -> String {
    match number {
        0 => "billing".to_owned(),
        1 => "reports".to_owned(),
        _ => format!("election-{}", number + 1),
    }
}

/// Every process takes part in all of them.
fn elections(count: usize) -> Vec<String> {
    (0..count).map(election).collect()
}

/// The command `cargo chaos`.
pub fn main() -> ExitCode {
    if let Some(ended) = candidate::main() {
        return ended;
    }
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(Said::Held) => ExitCode::SUCCESS,
        Ok(Said::Violated) => ExitCode::FAILURE,
        Ok(Said::NotJudged) => ExitCode::from(3),
        Err(error) => {
            eprintln!("cargo chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the judge says of all invariants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Held,
    Violated,
    /// Nothing speaks against any of them, and of some too little was seen.
    NotJudged,
}

fn run(arguments: &Arguments) -> Result<Said> {
    match &arguments.role {
        Some(Role::Judge { directory }) => return decide(directory),
        Some(Role::Relay { socket, server }) => {
            return relay::serve(socket, server).map(|()| Said::Held);
        }
        Some(Role::Busy { milliseconds }) => {
            return crew::busy(*milliseconds).map(|()| Said::Held);
        }
        None => {}
    }
    let seed = arguments
        .seed
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    println!("seed {seed}: the same faults again with --seed {seed}");
    if arguments.plan {
        for planned in arguments.schedule(seed) {
            println!("{planned}");
        }
        return Ok(Said::Held);
    }
    let directory = arguments.out.join(seed.to_string());
    conductor::run(arguments, seed, &directory)?;
    let said = decide(&directory)?;
    if said != Said::Held {
        println!(
            "the logs are in {}; the same faults again: --seed {seed}",
            directory.display()
        );
    }
    Ok(said)
}

fn decide(directory: &Path) -> Result<Said> {
    let history = History::read(directory)?;
    let report = Report::of(&history);
    report.write(directory)?;
    print!("{report}");
    Ok(if report.held() {
        Said::Held
    } else if report.violated() {
        Said::Violated
    } else {
        Said::NotJudged
    })
}
