//! `cargo simulate`: many worlds, until time is up or an invariant is broken.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use pg_leader_proof::sim::{self, Limits};

/// Run the shipped state machine in simulated worlds, one a seed, and decide the numbered invariants.
///
/// Ends with 1 where an invariant is broken, after the seed, the invariant and a timeline of what happened
/// last; run that seed again with `--seed SEED --runs 1`.
#[derive(Parser)]
#[command(name = "cargo simulate")]
struct Arguments {
    /// The first seed; the others follow it. By default a fresh one, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds at most.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// How many seconds to go on at most.
    #[arg(long, env = "PG_LEADER_SIMULATE_SECONDS", default_value_t = 120)]
    seconds: u64,
    /// How many simulated hours to go on at most.
    #[arg(long)]
    hours: Option<u64>,
    /// How many threads; by default as many as there are cores.
    #[arg(long)]
    threads: Option<usize>,
    /// Print the timeline of the last run also where nothing is broken.
    #[arg(long)]
    timeline: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(sim::fresh_seed);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limits = Limits {
        runs: arguments.runs,
        lasts: Duration::from_secs(arguments.seconds),
        simulated: arguments
            .hours
            .map_or(Duration::MAX, |hours| Duration::from_secs(hours * 3600)),
    };
    println!("first seed: {seed}");
    let begun = Instant::now();
    let report = sim::search(seed, limits, arguments.threads.unwrap_or(cores));
    let took = begun.elapsed();
    let hours = report.simulated.as_secs_f64() / 3600.0;
    println!(
        "{} runs, {hours:.1} simulated hours in {:.1} s: {:.0} hours a minute\n",
        report.runs,
        took.as_secs_f64(),
        hours / took.as_secs_f64() * 60.0
    );
    print!("{}\n{}", report.coverage, report.crowds);
    for missing in report.coverage.missing() {
        println!("NOT MET: {missing}");
    }
    let quiet = report.coverage.too_quiet();
    if let Some(quiet) = &quiet {
        println!("TOO LITTLE: {quiet}");
    }
    if arguments.timeline && report.broken.is_none() {
        print!("\n{}", sim::run(seed, None).timeline);
    }
    let Some(outcome) = report.broken else {
        println!("\nevery invariant held");
        return match quiet {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::FAILURE,
        };
    };
    print!("\n{}", outcome.timeline);
    if let Some((invariant, why)) = outcome.broken {
        println!("\nBROKEN: {invariant}\n  {why}");
    }
    println!(
        "  again with: cargo simulate --seed {} --runs 1",
        outcome.seed
    );
    ExitCode::FAILURE
}
