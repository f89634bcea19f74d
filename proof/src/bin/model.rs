//! Explores the shipped state machine within bounds of your own.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pg_leader_proof::model::{Bounds, Subject, check};
#[cfg(feature = "mutants")]
use pg_leader_proof::mutants::mutant;

/// Check the shipped state machine in every order of events, within bounds.
///
/// Prints how many states there are and, where one is wrong, the shortest way to it; then it exits with 1.
/// Every fault may come at every step: each one more makes some fifty times as many states.
///
/// Examples:
///   cargo model --faults 2 --seconds 600
///   cargo model --processes 3 --faults 1 --orders 1
///   cargo model --mutant no_refractory_period
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Arguments {
    /// How many candidates there are: 2 or 3.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    processes: u8,
    /// How many faults there may be.
    #[arg(long, default_value_t = 1)]
    faults: u8,
    /// How many orderly ends there may be.
    #[arg(long, default_value_t = 0)]
    orders: u8,
    /// Explore no longer than this.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The sessions go through a proxy, which may close them.
    #[arg(long)]
    indirect: bool,
    /// The work cannot be dropped: its process aborts.
    #[arg(long)]
    stubborn: bool,
    /// How the sessions of leaders ended is not believed.
    #[arg(long)]
    always_wait: bool,
    /// Begin before anybody is connected.
    #[arg(long)]
    from_the_start: bool,
    /// Begin when the first term has ended in order.
    #[arg(long)]
    vacated: bool,
    /// Heartbeats every L/8, not L/20.
    #[arg(long)]
    shipped_pace: bool,
    /// The clock of the first process runs 5 % slower than those of the others. Looks at four leases.
    #[arg(long)]
    slow_clock: bool,
    /// Check what is broken in the way that has this name in proof/tests/model_mutants.rs.
    #[arg(long)]
    mutant: Option<String>,
}

#[cfg(not(feature = "mutants"))]
fn mutant(_: &str) -> Option<Subject> {
    None
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let subject = match &arguments.mutant {
        None => Subject::shipped(),
        Some(name) => match mutant(name) {
            Some(subject) => subject,
            None => {
                eprintln!(
                    "there is no mutant {name:?}: proof/tests/model_mutants.rs has their names, and the feature `mutants` has them"
                );
                return ExitCode::from(2);
            }
        },
    };
    let bounds = bounds(&arguments);
    let report = check(
        &bounds,
        subject,
        Some(Duration::from_secs(arguments.seconds)),
    );
    println!("{report}");
    ExitCode::from(u8::from(report.counterexample.is_some()))
}

fn bounds(arguments: &Arguments) -> Bounds {
    let Arguments { faults, orders, .. } = *arguments;
    let mut bounds = match arguments.processes {
        2 => Bounds::two("two candidates", faults, orders),
        _ => Bounds::three("three candidates", faults, orders),
    };
    if arguments.slow_clock {
        let clock = |process| if process == 0 { 100 } else { 105 };
        let clocks: Vec<u64> = (0..arguments.processes).map(clock).collect();
        bounds = bounds.clocks(&clocks, 4);
    }
    for (wanted, change) in [
        (arguments.indirect, Bounds::indirect as fn(Bounds) -> Bounds),
        (arguments.stubborn, Bounds::stubborn),
        (arguments.always_wait, Bounds::always_wait),
        (arguments.from_the_start, Bounds::from_the_start),
        (arguments.vacated, Bounds::vacated),
        (arguments.shipped_pace, Bounds::shipped_pace),
    ] {
        if wanted {
            bounds = change(bounds);
        }
    }
    bounds
}
