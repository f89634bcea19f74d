//! What elections cost while nothing happens: one leader and three followers, each in a process of its own,
//! with 1 and with 100 elections; beside them the same server with no candidate at all. And what it costs to
//! ask this process. Where a mark is missed more than twofold the exit status is 1.
//!
//! ```text
//! cargo bench -p pg-leader-lab --bench steady                some four minutes
//! cargo bench -p pg-leader-lab --bench steady -- --check     three: most of it waits until the server has nothing more to write
//! cargo bench -p pg-leader-lab --bench steady -- --quick     a short window, whatever the marks
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
use support::figures::{Marks, table};
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
    let mut costs = vec![];
    for crowd in crowds {
        let cost = crowd.measure(&stage, &watch, arguments);
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
    let mut marks = Marks::default();
    println!("{}", table(&head, &rows(&costs, &mut marks)));
    let reads = local_reads::measure(&stage, &mut marks).await?;
    println!("{}", table(&["local read", "ns", "marks"], &reads));
    Ok(arguments.quick || marks.hold())
}

/// What was asked for, what it came to, and what it should be at most.
type Asked<'a> = (&'a str, f64, f64);

fn row(
    costs: &[Cost],
    marks: &mut Marks,
    name: &str,
    cell: &dyn Fn(&Cost) -> String,
    asked: Option<Asked<'_>>,
) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend(costs.iter().map(cell));
    let judged = asked.map(|(mark, figure, limit)| marks.judge(name, mark, figure, limit));
    cells.push(judged.unwrap_or_default());
    cells
}

fn rows(costs: &[Cost], marks: &mut Marks) -> Vec<Vec<String>> {
    let mut rows = of_server(costs, marks);
    rows.extend(of_processes(costs, marks));
    rows
}

fn of_server(costs: &[Cost], marks: &mut Marks) -> Vec<Vec<String>> {
    let [_, one, many, _] = costs else {
        return vec![];
    };
    let busy = &costs[1..];
    let mut row = |name: &str, cell: &dyn Fn(&Cost) -> String, asked: Option<Asked<'_>>| {
        row(costs, marks, name, cell, asked)
    };
    let none = |figure: fn(&Cost) -> u64| {
        let most = busy.iter().map(figure).max().unwrap_or_default();
        Some(("0", f64::from(u32::try_from(most).unwrap_or(u32::MAX)), 0.0))
    };
    let alike = (one.queries - many.queries).abs() / one.queries;
    let one_each = busy
        .iter()
        .all(|cost| cost.connections == cost.processes.len());
    vec![
        row(
            "queries per second",
            &|cost| format!("{:.2}", cost.queries),
            Some(("1 and 100 elections alike, ± 2 %", alike, 0.02)),
        ),
        row(
            "WAL bytes",
            &|cost| cost.wal_bytes.to_string(),
            none(|cost| cost.wal_bytes),
        ),
        row(
            "transaction ids",
            &|cost| cost.transaction_ids.to_string(),
            none(|cost| cost.transaction_ids),
        ),
        row(
            "rows written",
            &|cost| cost.rows_written.to_string(),
            none(|cost| cost.rows_written),
        ),
        row(
            "dead rows",
            &|cost| cost.dead_rows.to_string(),
            none(|cost| cost.dead_rows),
        ),
        row(
            "connections",
            &|cost| cost.connections.to_string(),
            Some(("one a process", f64::from(u8::from(!one_each)), 0.0)),
        ),
    ]
}

fn of_processes(costs: &[Cost], marks: &mut Marks) -> Vec<Vec<String>> {
    let [_, one, many, _] = costs else {
        return vec![];
    };
    let mut row = |name: &str, cell: &dyn Fn(&Cost) -> String, asked: Option<Asked<'_>>| {
        row(costs, marks, name, cell, asked)
    };
    let per_process = |figure: fn(&measure::OfProcess) -> String| {
        move |cost: &Cost| {
            let figures: Vec<String> = cost.processes.iter().map(figure).collect();
            figures.join(", ")
        }
    };
    let resident = one.processes.iter().map(|process| process.resident);
    let resident = megabytes(resident.max().unwrap_or_default());
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
            "CPU of each process, %",
            &per_process(|process| format!("{:.2}", process.cpu)),
            None,
        ),
        row(
            "CPU of each one's backend, %",
            &per_process(|process| format!("{:.2}", process.backend_cpu)),
            None,
        ),
        row(
            "resident memory of each process, MB",
            &per_process(|process| format!("{:.2}", megabytes(process.resident))),
            Some(("under 5 with 1 election", resident, 5.0)),
        ),
        row(
            "of that its own (not mapped from files), MB",
            &per_process(|process| format!("{:.2}", megabytes(process.private))),
            None,
        ),
        memory,
    ]
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
