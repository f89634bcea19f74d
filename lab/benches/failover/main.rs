//! How long an election is without a leader, by the way in which a term ends; and how many terms overlapped,
//! which must be none: else the exit status is 1. So it is where a mark is missed more than twofold,
//! with `--check` tenfold: the same build takes 3 ms for a hand-over on one day and 7 ms on the next.
//!
//! ```text
//! cargo bench -p pg-leader-lab --bench failover                 some three minutes
//! cargo bench -p pg-leader-lab --bench failover -- --check      under one: a fifth of the endings, enough for the marks
//! cargo bench -p pg-leader-lab --bench failover -- --quick      a few endings of each kind, whatever the marks
//! cargo bench -p pg-leader-lab --bench failover -- --only SIGSTOP --lease 500
//! ```
//!
//! Every single time is written down too, for `cargo pictures` to draw: to `target/failover.jsonl`.

mod lane;
mod samples;
mod scenario;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use samples::Samples;
use scenario::{Cut, SCENARIOS, Scenario};
use support::arguments::Arguments;
use support::figures::{Distribution, Marks, milliseconds, table};
use support::stage::Stage;
use support::{Result, run};

fn main() -> ExitCode {
    run(bench)
}

async fn bench(arguments: &Arguments) -> Result<bool> {
    let stage = Stage::start(arguments).await?;
    let description = stage.describe().await?;
    eprintln!("{description}");
    let mut rows = vec![];
    let mut marks = if arguments.check {
        Marks::for_any_machine()
    } else {
        Marks::default()
    };
    let mut samples = Samples::new(&description, arguments.lease)?;
    let mut overlaps = 0;
    let mut cut = Cut::default();
    let mut endings = 0;
    for scenario in SCENARIOS {
        if !arguments.wants(scenario.name) {
            continue;
        }
        let measured = scenario
            .run(&stage, arguments)
            .await
            .map_err(|error| format!("{}: {error}\n{}", scenario.name, stage.cluster.log()))?;
        samples.write(scenario.name, &measured.gaps)?;
        let gaps = Distribution::of(measured.gaps);
        eprintln!(
            "{}: {} endings, {:.2?} median",
            scenario.name,
            gaps.count(),
            gaps.median()
        );
        overlaps += measured.overlaps;
        cut = cut.and(measured.cut);
        endings += gaps.count();
        rows.push(row(scenario, &gaps, arguments.lease, &mut marks));
        if scenario.announces {
            let announced = Distribution::of(measured.announced);
            rows.push(row(
                &scenario::ADDRESS,
                &announced,
                arguments.lease,
                &mut marks,
            ));
        }
    }
    println!(
        "{description}\n\nLease {:?}, 3 processes an election.\n",
        arguments.lease
    );
    let head = [
        "ending",
        "from",
        "count",
        "median ms",
        "p99 ms",
        "max ms",
        "median leases",
        "max leases",
        "marks",
    ];
    println!("{}", table(&head, &rows));
    println!("Two at work at once: {overlaps} times in {endings} endings.");
    println!(
        "Writes that SIGSTOP had cut in two, done on waking in another's term: {}, {:.2?} into it at most. No library \
         can prevent that; a fence refuses them.",
        cut.count, cut.most
    );
    Ok((arguments.quick || marks.hold()) && overlaps == 0)
}

fn row(
    scenario: &Scenario,
    gaps: &Distribution,
    lease: Duration,
    marks: &mut Marks,
) -> Vec<String> {
    let leases = |gap: Duration| format!("{:.3}", gap.as_secs_f64() / lease.as_secs_f64());
    let judged = scenario
        .marks
        .iter()
        .map(|mark| mark.judge(scenario.name, gaps, lease, marks));
    let judged: Vec<String> = judged.collect();
    vec![
        scenario.name.to_owned(),
        scenario.from.to_owned(),
        gaps.count().to_string(),
        format!("{:.2}", milliseconds(gaps.median())),
        format!("{:.2}", milliseconds(gaps.percentile(99))),
        format!("{:.2}", milliseconds(gaps.max())),
        leases(gaps.median()),
        leases(gaps.max()),
        judged.join("; "),
    ]
}
