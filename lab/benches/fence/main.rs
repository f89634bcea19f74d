//! What a fence costs: a transaction that updates one row of its own, as it is, with a statement more that does
//! nothing, and with a fence. And what a fence leaves behind: WAL, a transaction id, a row lock, dead rows. Where a mark
//! is missed more than twofold the exit status is 1.
//!
//! ```text
//! cargo bench -p pg-leader-lab --bench fence                some three minutes
//! cargo bench -p pg-leader-lab --bench fence -- --check     under one: a fifth of the rounds, enough for the marks
//! cargo bench -p pg-leader-lab --bench fence -- --quick     a few transactions, whatever the marks
//! cargo bench -p pg-leader-lab --bench fence -- --only 16   what has WORD in its name
//! ```

mod load;
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::process::ExitCode;
use std::time::Duration;

use load::{Isolation, Load, Protocol};
use pg_leader::{Config, Elector, Term};
use support::arguments::Arguments;
use support::figures::{Marks, table};
use support::stage::Stage;
use support::{Result, run};
use tokio::sync::mpsc;
use trace::Trace;

/// Processor time of the server, a transaction.
const MARK_MICROSECONDS: f64 = 40.0;

fn main() -> ExitCode {
    run(bench)
}

async fn bench(arguments: &Arguments) -> Result<bool> {
    let stage = Stage::start(arguments).await?;
    let description = stage.describe().await?;
    eprintln!("{description}");
    // A busy machine must not end the term that is measured.
    let config = Config::new(stage.cluster.url()).lease(Duration::from_secs(10));
    let elector = Elector::connect(config).await?;
    let (began, mut terms) = mpsc::channel(1);
    elector
        .campaign(("fence", "here"), move |term: Term| {
            let began = began.clone();
            async move {
                let _ = began.send(term.number()).await;
                term.ready();
                std::future::pending::<()>().await;
            }
        })?
        .detach();
    let term = terms.recv().await.ok_or("nobody leads")?;

    let mut rows = vec![];
    let mut marks = Marks::default();
    for (protocol, isolation) in [
        (Protocol::Prepared, Isolation::ReadCommitted),
        (Protocol::Simple, Isolation::ReadCommitted),
        (Protocol::Prepared, Isolation::RepeatableRead),
    ] {
        for clients in [1, 16] {
            let load = Load {
                protocol,
                isolation,
                clients,
                term,
            };
            if !arguments.wants(&load.to_string()) {
                continue;
            }
            let cost = load.measure(&stage, arguments).await?;
            eprintln!("{load}: {:.1} µs", cost.fence_more());
            rows.push(row(&load, &cost, &mut marks));
        }
    }
    let head = [
        "",
        "transactions/s",
        "with `SELECT 1`",
        "with a fence",
        "server µs each",
        "with `SELECT 1`",
        "with a fence",
        "`SELECT 1` adds",
        "a fence adds",
        "in the quietest tenth",
        "marks",
    ];
    println!("{description}\n\n{}", table(&head, &rows));
    let traces = [
        Trace::leave(&stage, Isolation::ReadCommitted, term).await?,
        Trace::leave(&stage, Isolation::RepeatableRead, term).await?,
    ];
    let head = [
        "1,000 read-only transactions with a fence",
        "READ COMMITTED",
        "REPEATABLE READ",
        "marks",
    ];
    println!("{}", table(&head, &trace::rows(&traces, &mut marks)));
    elector.shutdown().await;
    Ok(arguments.quick || marks.hold())
}

fn row(load: &Load, cost: &load::Cost, marks: &mut Marks) -> Vec<String> {
    let mut cells = vec![load.to_string()];
    cells.extend(cost.rates.map(|rate| format!("{rate:.0}")));
    cells.extend(cost.server.map(|microseconds| format!("{microseconds:.1}")));
    cells.extend(cost.more.map(|microseconds| format!("{microseconds:.1}")));
    cells.push(format!("{:.1}", cost.quiet));
    cells.push(match load.isolation {
        // What a busy machine adds is not the fence's.
        Isolation::ReadCommitted => marks.judge(
            &load.to_string(),
            &format!("≤ {MARK_MICROSECONDS}"),
            cost.quiet,
            MARK_MICROSECONDS,
        ),
        Isolation::RepeatableRead => String::new(),
    });
    cells
}
