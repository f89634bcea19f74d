//! Highly available clusters: a Patroni cluster of three, what befalls it, and who leads then.
//!
//! Each trial starts candidates on a whole cluster, lets one event befall it, and sees when a primary is writable
//! again (not ours) and from there until somebody leads (ours). Nothing here elects: candidates, record and judge are
//! those of the whole package.

mod arguments;
mod befall;
mod cluster;
mod daemon;
mod enclosure;
mod etcd;
mod event;
mod member;
mod path;
mod questions;
mod report;
mod rest;
mod settings;
mod sight;
mod trial;

use std::process::ExitCode;

use clap::Parser;

use crate::{Result, candidate};
use arguments::Arguments;
use cluster::Cluster;
use report::Report;

/// The command `cargo ha`.
pub fn main() -> ExitCode {
    if let Some(ended) = candidate::main() {
        return ended;
    }
    let arguments = Arguments::parse();
    if let Some(lacks) = enclosure::lacking(&arguments) {
        println!("SKIPPED: {lacks}; scripts/ha installs what can be had");
        return ExitCode::SUCCESS;
    }
    let ended = match enclosure::is_inside() {
        false => enclosure::enter(),
        true => run(&arguments),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("cargo ha: {error}");
        ExitCode::from(2)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    enclosure::furnish()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(try_all(arguments))?;
    println!("\n{report}");
    Ok(match report.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn try_all(arguments: &Arguments) -> Result<Report> {
    let mut report = Report::default();
    let mut cluster = Cluster::start(arguments).await?;
    report.describe(cluster.describe());
    for path in arguments.paths() {
        let _way = path.open(&cluster).await?;
        for event in arguments.events(path) {
            for _ in 0..arguments.repeat {
                let outcome = trial::run(&mut cluster, path, event, arguments.lease()).await?;
                println!("{outcome}");
                report.add(outcome);
            }
        }
    }
    if arguments.keep || !report.holds() {
        println!("logs: {}", cluster.keep().display());
    }
    Ok(report)
}
