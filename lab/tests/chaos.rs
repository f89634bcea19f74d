//! A short chaos, once with faults that are always the same and once with fresh ones.
//!
//! `PG_LEADER_CHAOS_SECONDS` says how long each lasts; 15 by default. So short a run may see too little to judge each
//! invariant, and then none may be violated; what must be judged is a minute's.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use pg_leader_lab::chaos::judge::history::Kind;
use pg_leader_lab::chaos::{Planned, Target, plan};

fn chaos(seed: u64) {
    let seconds = std::env::var("PG_LEADER_CHAOS_SECONDS").unwrap_or_else(|_| "15".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--seconds", &seconds, "--seed", &seed.to_string(), "--out"])
        .arg(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    // Shown where the test fails.
    println!("{said}{complained}");
    let not_judged = output.status.code() == Some(3);
    if !output.status.success() && !not_judged {
        let kept = directory.keep();
        panic!(
            "seed {seed}: {}; its logs are in {}",
            output.status,
            kept.display()
        );
    }
    assert!(
        directory
            .path()
            .join(seed.to_string())
            .join("report.json")
            .exists()
    );
}

#[test]
fn the_same_faults_as_always() {
    chaos(20_261_124);
}

#[test]
fn fresh_faults() {
    let seed = fastrand::u64(..1_000_000_000);
    println!("seed {seed}");
    chaos(seed);
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let lease = Duration::from_secs(1);
    for elections in [2, 200] {
        let one = plan(7, 600, lease, elections);
        assert_eq!(one, plan(7, 600, lease, elections));
        assert_ne!(one, plan(8, 600, lease, elections));
    }
    let one = plan(7, 600, lease, 2);
    assert!(one.len() >= 300, "{} faults in ten minutes", one.len());
    let times: Vec<Duration> = one.iter().map(|planned| planned.at).collect();
    assert!(times.is_sorted());
}

/// More elections are befallen by the same faults at the same times.
#[test]
fn more_elections_do_not_change_what_comes_and_when() {
    let faults = |elections: usize| {
        let plan = plan(7, 600, Duration::from_secs(1), elections).into_iter();
        let fault = |planned: Planned| (planned.at, planned.kind, planned.target, planned.lasts);
        plan.map(fault).collect::<Vec<_>>()
    };
    assert_eq!(faults(200), faults(2));
}

/// In ten minutes each kind comes again and again, whatever the seed, and in one mostly too.
#[test]
fn no_kind_is_missing_for_long() {
    let seeds = 0..200;
    let mut whole_minutes = 0;
    for seed in seeds.clone() {
        let plan = plan(seed, 600, Duration::from_secs(1), 2);
        let kinds = |from: u64, to: u64| -> BTreeSet<Kind> {
            let times = Duration::from_secs(from)..Duration::from_secs(to);
            let within = plan.iter().filter(|planned| times.contains(&planned.at));
            within.map(|planned| planned.kind).collect()
        };
        // All but the end of a promotion for a while, which comes with it.
        const ALL: usize = 33;
        for (from, to) in [(0, 200), (200, 400), (400, 600)] {
            let kinds = kinds(from, to);
            assert_eq!(kinds.len(), ALL, "seed {seed}, from {from} s: {kinds:?}");
        }
        whole_minutes += usize::from(kinds(0, 60).len() == ALL);
    }
    assert!(
        whole_minutes * 3 >= seeds.count() * 2,
        "{whole_minutes} minutes have every kind"
    );
}

/// Whether nothing begins or lasts so shortly before it, or after it.
fn is_alone(planned: &Planned, plan: &[Planned]) -> bool {
    let rest = Duration::from_secs(1);
    plan.iter().filter(|other| *other != planned).all(|other| {
        other.at > planned.at + planned.lasts + rest || other.at + other.lasts + rest < planned.at
    })
}

#[test]
fn leaders_hang_with_nothing_else_around() {
    for seed in 0..50 {
        let plan = plan(seed, 600, Duration::from_secs(1), 2);
        let hangs = plan.iter().filter(|planned| {
            planned.kind == Kind::StoppedProcess
                && planned.target == Target::Leader
                && planned.lasts > Duration::from_millis(1400)
                && is_alone(planned, &plan)
        });
        let count = hangs.count();
        assert!(count >= 40, "seed {seed}: {count} hangs");
        let alone = plan.iter().filter(|planned| is_alone(planned, &plan));
        let count = alone.count();
        assert!(count >= 80, "seed {seed}: {count} alone");
    }
}
