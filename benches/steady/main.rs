//! What elections cost while nothing happens: one leader and three followers, each in a process of its own,
//! with 1 and with 100 elections; beside them the same server with no candidate at all. And what it costs to
//! ask this process.
//!
//! ```text
//! cargo bench --bench steady                some three minutes
//! cargo bench --bench steady -- --quick     a short window: shows that it works, measures little
//! ```

mod local_reads;
mod measure;
mod operating_system;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use measure::{Cost, Crowd};
use support::arguments::Arguments;
use support::figures::{judged, table};
use support::stage::Stage;
use support::{Result, run};

const MANY: u32 = 100;

fn main() -> ExitCode {
    run(bench)
}

async fn bench(arguments: &Arguments) -> Result<bool> {
    let stage = Stage::start(arguments).await?;
    let description = stage.describe().await?;
    eprintln!("{description}");
    // In a database of its own: what is counted for the candidates' database is theirs alone.
    let watch = stage.watch().await?;
    let crowds = [
        Crowd {
            elections: 0,
            after_failover: false,
        },
        Crowd {
            elections: 1,
            after_failover: false,
        },
        Crowd {
            elections: MANY,
            after_failover: false,
        },
        Crowd {
            elections: MANY,
            after_failover: true,
        },
    ];
    let local = tokio::task::LocalSet::new();
    let mut costs = vec![];
    for crowd in crowds {
        let cost = local.run_until(crowd.measure(&stage, &watch, arguments));
        let cost = cost
            .await
            .map_err(|error| format!("{crowd}: {error}\n{}", stage.cluster.log()))?;
        eprintln!("{crowd}: {:.2} queries/s", cost.queries);
        costs.push(cost);
    }
    println!(
        "{description}\n\nLease {:?}, retry interval {:?}, window {:?}.\n",
        arguments.lease,
        measure::retry_interval(arguments.lease),
        measure::window(arguments),
    );
    let heads: Vec<String> = crowds.iter().map(Crowd::to_string).collect();
    let mut head = vec!["1 leader, 3 followers"];
    head.extend(heads.iter().map(String::as_str));
    head.push("marks");
    println!("{}", table(&head, &rows(&costs)));
    let reads = local_reads::measure(&stage).await?;
    println!("{}", table(&["local read", "ns", "marks"], &reads));
    Ok(true)
}

fn rows(costs: &[Cost]) -> Vec<Vec<String>> {
    let [_, one, many, _] = costs else {
        return vec![];
    };
    let busy = &costs[1..];
    let row = |name: &str, cell: &dyn Fn(&Cost) -> String, mark: String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(costs.iter().map(cell));
        cells.push(mark);
        cells
    };
    let per_process = |figure: fn(&measure::OfProcess) -> String| {
        move |cost: &Cost| {
            let figures: Vec<String> = cost.processes.iter().map(figure).collect();
            figures.join(", ")
        }
    };
    let none = |all: &[Cost], figure: fn(&Cost) -> u64| all.iter().all(|cost| figure(cost) == 0);
    let same = (one.queries - many.queries).abs() <= one.queries * 0.02;
    let one_each = busy
        .iter()
        .all(|cost| cost.connections == cost.processes.len());
    let small = |cost: &Cost| {
        cost.processes
            .iter()
            .all(|process| process.resident < 5_000_000)
    };
    let per_election: Vec<String> = one
        .processes
        .iter()
        .zip(&many.processes)
        .map(|(one, many)| {
            let more = i128::from(many.resident) - i128::from(one.resident);
            (more / i128::from(MANY - 1)).to_string()
        })
        .collect();
    let mut memory = vec!["bytes of memory per election, of each process".to_owned()];
    memory.extend([
        "".to_owned(),
        "".to_owned(),
        per_election.join(", "),
        "".to_owned(),
        "".to_owned(),
    ]);
    vec![
        row(
            "queries per second",
            &|cost| format!("{:.2}", cost.queries),
            judged("1 and 100 elections alike, ± 2 %", same),
        ),
        row(
            "WAL bytes",
            &|cost| cost.wal_bytes.to_string(),
            judged("0", none(busy, |cost| cost.wal_bytes)),
        ),
        row(
            "transaction ids",
            &|cost| cost.transaction_ids.to_string(),
            judged("0", none(busy, |cost| cost.transaction_ids)),
        ),
        row(
            "rows written",
            &|cost| cost.rows_written.to_string(),
            judged("0", none(busy, |cost| cost.rows_written)),
        ),
        row(
            "dead rows",
            &|cost| cost.dead_rows.to_string(),
            judged("0", none(busy, |cost| cost.dead_rows)),
        ),
        row(
            "connections",
            &|cost| cost.connections.to_string(),
            judged("one a process", one_each),
        ),
        row(
            "CPU of each process, %",
            &per_process(|process| format!("{:.2}", process.cpu)),
            String::new(),
        ),
        row(
            "CPU of each one's backend, %",
            &per_process(|process| format!("{:.2}", process.backend_cpu)),
            String::new(),
        ),
        row(
            "resident memory of each process, MB",
            &per_process(|process| format!("{:.2}", megabytes(process.resident))),
            judged("under 5 with 1 election", small(one)),
        ),
        row(
            "of that its own (not mapped from files), MB",
            &per_process(|process| format!("{:.2}", megabytes(process.private))),
            String::new(),
        ),
        memory,
    ]
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
