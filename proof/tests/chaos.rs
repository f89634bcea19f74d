//! A short chaos, once with faults that are always the same and once with fresh ones.
//!
//! `PG_LEADER_CHAOS_SECONDS` says how long each lasts; 15 by default.

use std::process::Command;
use std::time::Duration;

use pg_leader_proof::chaos::plan;

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
    if !output.status.success() {
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
    let one = plan(7, 600, lease);
    assert_eq!(one, plan(7, 600, lease));
    assert_ne!(one, plan(8, 600, lease));
    assert!(one.len() >= 300, "{} faults in ten minutes", one.len());
    let times: Vec<Duration> = one.iter().map(|planned| planned.at).collect();
    assert!(times.is_sorted());
}
