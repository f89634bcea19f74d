//! `pg-leader run` and everything below it is frozen, as a container that is paused: no clock is looked at, and no
//! signal tells of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::runner::{Run, Stage, USUAL, worker};
use crate::support::{LEASE, record, skipped, until};

/// The freezer of cgroups, of whichever version is mounted.
struct Freezer {
    directory: PathBuf,
    file: &'static str,
    words: [&'static str; 2],
    frozen: &'static str,
}

impl Freezer {
    fn new(name: &str) -> Option<Freezer> {
        let own = format!("pg-leader-{name}-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/freezer").join(&own);
        if std::fs::create_dir(&first).is_ok() {
            return Some(Freezer {
                directory: first,
                file: "freezer.state",
                words: ["FROZEN", "THAWED"],
                frozen: "FROZEN",
            });
        }
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let second = Path::new(root).join(&own);
            if !Path::new(root).join("cgroup.controllers").exists()
                || std::fs::create_dir(&second).is_err()
            {
                continue;
            }
            let freezer = Freezer {
                directory: second,
                file: "cgroup.freeze",
                words: ["1", "0"],
                frozen: "frozen 1",
            };
            if freezer.directory.join(freezer.file).exists() {
                return Some(freezer);
            }
        }
        None
    }

    /// What starts the command line behind it inside.
    fn launcher(&self) -> String {
        let procs = self.directory.join("cgroup.procs");
        format!("echo $$ > '{}'; exec \"$@\"", procs.display())
    }

    async fn freeze(&self) {
        self.write(0);
        let seen = if self.file == "cgroup.freeze" {
            "cgroup.events"
        } else {
            self.file
        };
        until("all of it is frozen", || {
            let state = std::fs::read_to_string(self.directory.join(seen));
            state.is_ok_and(|state| state.contains(self.frozen))
        })
        .await;
    }

    fn thaw(&self) {
        self.write(1);
    }

    fn write(&self, word: usize) {
        let file = self.directory.join(self.file);
        std::fs::write(file, self.words[word]).expect("the group is ours");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        // What is left inside keeps the directory, which harms nobody.
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Nobody can end what is frozen, so another leads while it only stands still. What it does between its thaw and the
/// guard's next instruction is the fence's to refuse: it must be short, and it must be refused.
#[tokio::test]
async fn a_frozen_command_is_followed_and_ends_as_soon_as_it_thaws() {
    let Some(freezer) = Freezer::new("frozen") else {
        skipped("frozen", "no cgroup freezer can be used here");
        return;
    };
    let stage = Stage::new("frozen");
    let script = format!("trap '' TERM; {} & exec {}", worker(), worker());
    let launcher = freezer.launcher();
    let inside = [&["sh", "-c", &launcher, "sh"][..], &USUAL].concat();
    let stay = ["--on-exit", "restart", "--grace", "100ms"];
    let first = Run::of(stage.line(&inside, "first", &stay, &["sh", "-c", &script]));
    stage.until_working("first").await;
    let _second = stage.run("second", &stay, &script);
    crate::support::until_successor(&stage.cluster, stage.election).await;
    for turn in 0..3 {
        if turn > 0 {
            stage
                .cluster
                .execute("SELECT pgleader.step_down('frozen')")
                .unwrap();
        }
        until("first leads", || leads(&stage, "first")).await;
        let term_of_first = stage.newest_term();
        let frozen_at = record::now();
        freezer.freeze().await;
        until("second works", || leads(&stage, "second")).await;
        let took = stage.time_to_term(frozen_at, term_of_first + 1);
        println!("followed after {took:?}");
        assert!(took > LEASE / 2, "followed after {took:?}");
        // It leads for a while, and is not hurt by the thaw.
        let until_then = Instant::now() + LEASE / 2;
        until("a while", || Instant::now() > until_then).await;
        let thawed = record::now();
        freezer.thaw();
        let fence = format!("BEGIN; SELECT pgleader.fence('frozen', {term_of_first}); COMMIT");
        let refused = stage.cluster.execute(&fence).unwrap_err().to_string();
        assert!(
            refused.contains("PL001") || refused.contains("over"),
            "{refused}"
        );
        until("the woken process is a candidate again", || {
            stage.status("successor").as_deref() == Some("first")
        })
        .await;
        let steps = stage.steps();
        let late = steps
            .iter()
            .filter(|step| step.term == term_of_first && step.ended > thawed)
            .map(|step| step.ended - thawed)
            .max();
        let late = Duration::from_nanos(late.unwrap_or(0));
        println!("worked for {late:?} after the thaw");
        assert!(late < LEASE / 2, "worked for {late:?} after the thaw");
        assert_eq!(
            stage.newest_term(),
            term_of_first + 1,
            "the leader was hurt"
        );
    }
    drop(first);
}

fn leads(stage: &Stage, address: &str) -> bool {
    stage
        .steps()
        .last()
        .is_some_and(|step| step.address == address)
        && stage.status("address").as_deref() == Some(address)
}
