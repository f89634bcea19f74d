//! Runtimes that are shut down while candidacies have their work to run there: what can never work leaves, and the others
//! lead. Settles row 82 of docs/development/known-faults.md together with `work`.

use crate::support;
use crate::support::log::Log;
use crate::support::record::{self, Record};
use crate::support::{Cluster, elector, history, status, steady, until};
use pg_leader::{Candidacy, Elector, ProcessState};
use tokio::runtime::{Builder, Runtime};

/// How often it was said of this election.
fn said(log: &Log, election: &str) -> usize {
    let said = format!("so it can never run: this candidacy leaves election=\"{election}\"");
    log.count("ERROR", &said)
}

fn campaign_on(runtime: &Runtime, elector: &Elector, election: &str) -> Candidacy {
    let _inside = runtime.enter();
    let record = Record::in_memory();
    elector
        .campaign((election, "dead"), steady(&record))
        .unwrap()
}

async fn until_left(cluster: &Cluster, election: &str) {
    until("the candidacy has left", || {
        status(cluster, election, "candidates").as_deref() == Some("0")
    })
    .await;
}

/// No more than the terms that began before anybody could know.
fn terms(cluster: &Cluster, election: &str) -> i64 {
    let terms = status(cluster, election, "term").unwrap();
    terms.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidacy_whose_runtime_is_gone_leaves_and_says_so() {
    let log = Log::install();
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let record = Record::in_memory();
    let lives = elector.campaign(("lives", "a"), steady(&record)).unwrap();
    until("the other leads", || lives.state() == ProcessState::Leading).await;

    // Before its first term.
    let before = Runtime::new().unwrap();
    let handle = before.handle().clone();
    before.shutdown_background();
    let never_worked = {
        let _inside = handle.enter();
        elector
            .campaign(("before", "dead"), steady(&Record::in_memory()))
            .unwrap()
    };
    until_left(&cluster, "before").await;
    assert_eq!(terms(&cluster, "before"), 1);
    let ending = history(&cluster, "before", 1, "ending");
    assert_eq!(ending.as_deref(), Some("failed"));
    assert_eq!(never_worked.state(), ProcessState::Following);

    // In the midst of a term, by both kinds of runtime.
    let several = Builder::new_multi_thread().enable_all().build().unwrap();
    let one = std::thread::spawn(|| Builder::new_current_thread().enable_all().build().unwrap());
    let one = one.join().unwrap();
    for (election, runtime) in [("several", several), ("one", one)] {
        let (elector, cluster) = (&elector, &cluster);
        let candidacy = campaign_on(&runtime, elector, election);
        // A runtime of one thread runs nothing unless somebody drives it.
        let leads = async {
            until("it leads", || candidacy.state() == ProcessState::Leading).await;
        };
        if election == "one" {
            tokio::task::block_in_place(|| {
                std::thread::scope(|scope| {
                    let driven = scope.spawn(|| runtime.block_on(leads));
                    driven.join().unwrap();
                })
            });
        } else {
            leads.await;
        }
        runtime.shutdown_background();
        until_left(cluster, election).await;
        assert_eq!(terms(cluster, election), 1, "{election}");
        assert!(history(cluster, election, 1, "ending").is_some());
    }
    let all = ["before", "several", "one"];
    until("each has said so", || {
        all.iter().all(|of| said(&log, of) > 0)
    })
    .await;

    // The same elector campaigns again, on a runtime that lives.
    let again = elector.campaign(("several", "living"), steady(&Record::in_memory()));
    let again = again.unwrap();
    until("it leads", || again.state() == ProcessState::Leading).await;
    let steps = record.steps().len();
    until("the other works on", || record.steps().len() > steps + 100).await;
    assert_eq!(record.last_term(), 1);
    record::assert_no_overlap(&record.steps());
    elector.shutdown().await;
    // Once, and of no other.
    assert_eq!(all.map(|of| said(&log, of)), [1; 3]);
    assert_eq!(said(&log, "lives"), 0);
}

/// What is left to others they take at once.
#[tokio::test(flavor = "multi_thread")]
async fn another_leads_in_the_place_of_a_candidacy_whose_runtime_is_gone() {
    let cluster = Cluster::start().unwrap();
    let runtime = Runtime::new().unwrap();
    let dying = elector(&cluster).await;
    let dead = campaign_on(&runtime, &dying, "heir");
    until("it leads", || dead.state() == ProcessState::Leading).await;
    let record = Record::in_memory();
    let heir = elector(&cluster).await;
    let heir = heir.campaign(("heir", "heir"), steady(&record)).unwrap();
    support::until_successor(&cluster, "heir").await;
    runtime.shutdown_background();
    until("the heir leads", || heir.state() == ProcessState::Leading).await;
    until("the other has left", || {
        status(&cluster, "heir", "candidates").as_deref() == Some("1")
    })
    .await;
    assert_eq!(terms(&cluster, "heir"), 2);
}
