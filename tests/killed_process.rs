//! A leader's process dies or hangs. On a direct connection its death is proof enough; on an indirect one,
//! or when it hangs, one lease passes first. Settles rows 3, 4, 6, 20, 22 and 24 of docs/known-faults.md.

mod support;

use support::candidate;
use support::proxy::Proxy;
use support::race::Race;
use support::record;
use support::{Cluster, LEASE, history, until, until_successor};

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    candidate::main();
}

/// Leaders that are killed as soon as the database knows of a successor: most are followed at once, and it is said
/// how many.
///
/// The place shows as soon as its lock is granted, in the middle of the successor's first try. A leader that dies
/// before that try has looked at it, some milliseconds later, was watched by nobody, and is waited for. So is
/// one whose end the server counts among those that prove nothing, as when an answer was on its way to it.
async fn assert_followed_at_once(election: &str, conninfo: impl Fn(&Cluster) -> String) {
    const KILLS: u64 = 10;
    let mut race = Race::start(election, &conninfo).await;
    let conninfo = conninfo(&race.cluster);
    let mut waited = vec![];
    for term in 1..=KILLS {
        let before = race.doubtful_endings();
        // The older of the two leads.
        race.processes.remove(0).kill();
        race.until_term(term + 1).await;
        let gap = race.gap_after(term);
        assert_eq!(
            history(&race.cluster, election, term, "ending").as_deref(),
            Some("lost")
        );
        if gap >= LEASE * 3 / 4 {
            let counted = before != race.doubtful_endings();
            waited.push(format!("{gap:?}, counted: {counted}"));
        }
        race.join(&conninfo, &format!("{term}"));
        until_successor(&race.cluster, election).await;
    }
    let at_once = KILLS - u64::try_from(waited.len()).expect("few");
    support::say(&format!(
        "{election}: {at_once} of {KILLS} followed at once; others: {waited:?}"
    ));
    record::assert_no_overlap(&race.steps());
    assert!(at_once >= 7, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_are_followed_at_once_over_tcp() {
    assert_followed_at_once("tcp", Cluster::url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_are_followed_at_once_over_a_unix_socket() {
    assert_followed_at_once("unix", Cluster::socket_conninfo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_a_killed_process_is_followed_after_its_lease() {
    let mut race = Race::empty("proxied");
    let proxy = Proxy::start(race.cluster.port()).await;
    race.join(&proxy.url(), "first");
    race.until_term(1).await;
    let direct = race.cluster.url();
    race.join(&direct, "second");
    until_successor(&race.cluster, "proxied").await;
    let direct = race
        .cluster
        .query("SELECT bool_or(direct) FROM pgleader.term")
        .unwrap();
    assert_eq!(
        direct.as_deref(),
        Some("f"),
        "a proxied session was taken for a direct one"
    );

    race.processes[0].kill();
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(
        gap >= LEASE * 9 / 10,
        "{gap:?}: it did not wait although it could not know"
    );
    assert!(gap < LEASE * 3, "{gap:?} without a leader");
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_followed_after_its_lease_and_does_no_work_on_waking() {
    let race = Race::start("stop", Cluster::url).await;
    race.processes[0].stop();
    race.until_term(2).await;
    let gap = race.gap_after(1);
    assert!(
        gap >= LEASE / 2,
        "{gap:?}: a leader that only hangs was followed too soon"
    );
    assert!(gap < LEASE * 3, "{gap:?} without a leader");

    race.processes[0].go_on();
    // It finds itself deposed and comes back as a follower.
    until("the woken process is a candidate again", || {
        support::status(&race.cluster, "stop", "candidates").as_deref() == Some("2")
            && support::status(&race.cluster, "stop", "successor").as_deref() == Some("first")
    })
    .await;
    let steps = race.steps();
    record::assert_no_overlap(&steps);
    let started = steps
        .iter()
        .filter(|step| step.term == 2)
        .map(|step| step.began)
        .min()
        .unwrap();
    let late = steps
        .iter()
        .filter(|step| step.term == 1 && step.began > started)
        .count();
    assert_eq!(late, 0, "the woken process worked in a term that was over");
}
