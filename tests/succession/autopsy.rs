//! How a session ended tells whether its work has stopped, and where it cannot tell, the next leader waits
//! for a lease. Every kind of end, and what may blur the evidence. Settles row 22 of docs/development/known-faults.md
//! without giving up row 1.

use std::time::Duration;

use crate::support;
use crate::support::Cluster;
use crate::support::LEASE;
use crate::support::race::Race;
use crate::support::record;
use crate::support::seat::Seat;

/// Kill the leader, the older of the two, while the successor cannot look, with `meanwhile` done before it looks
/// again. So its sample is surely older than what happens here. How long nobody worked, and the term that follows.
async fn kill_unseen(
    race: &mut Race,
    term: i64,
    meanwhile: impl FnOnce(&Cluster),
) -> (Duration, i64) {
    race.processes[1].stop();
    // A probe under way might win, and nobody would hear of it before the server ends that session.
    let state = format!(
        "SELECT state FROM pg_stat_activity WHERE application_name = 'pg-leader {}'",
        race.processes[1].address
    );
    support::until("the successor's last probe is answered", || {
        race.cluster.query(&state).unwrap().as_deref() == Some("idle")
    })
    .await;
    meanwhile(&race.cluster);
    race.processes.remove(0).kill();
    // A probe that still finds the lock held would take a newer sample.
    support::until("the leader's session has ended", || {
        race.cluster.leader_pid("autopsy").unwrap().is_none()
    })
    .await;
    race.processes[0].go_on();
    let next = race.until_term(term + 1).await;
    record::assert_no_overlap(&race.steps());
    (race.gap_after(term), next)
}

async fn gap_when(meanwhile: impl FnOnce(&Cluster)) -> Duration {
    let mut race = Race::start("autopsy", Cluster::url).await;
    kill_unseen(&mut race, 1, meanwhile).await.0
}

fn assert_waited(gap: Duration) {
    assert!(
        gap >= LEASE * 9 / 10,
        "{gap:?}: it did not wait although it could not know"
    );
    assert!(gap < LEASE * 4, "{gap:?} without a leader");
}

/// Most are: not those whose own end the server counted among the endings that prove nothing, as when an answer was on
/// its way to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closed_its_connection_is_followed_at_once() {
    const KILLS: usize = 20;
    let mut race = Race::start("autopsy", Cluster::url).await;
    let conninfo = race.cluster.url();
    let mut gaps = vec![];
    let mut term = 1;
    for _ in 0..KILLS {
        let before = race.doubtful_endings();
        let (gap, next) = kill_unseen(&mut race, term, |_| ()).await;
        if gap >= LEASE * 3 / 4 {
            let counted = before != race.doubtful_endings();
            support::say(&format!("waited for {gap:?}, counted: {counted}"));
        }
        gaps.push(gap);
        race.join(&conninfo, &format!("{term}"));
        term = next;
        support::until_successor(&race.cluster, "autopsy").await;
    }
    support::assert_most("closed", &gaps, KILLS * 7 / 10, LEASE * 3 / 4, LEASE * 3);
}

/// What a try looked at before it took the successor's place, by which everybody can see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_try_tells_whether_it_saw_the_leader() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let first = Seat::join(&cluster, "seen", "first").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    let second = Seat::join(&cluster, "seen", "second").await;
    let watched = async |outcome: &str| {
        let tried = second.try_having_heard((0, 0)).await;
        assert_eq!(tried.get::<_, &str>("outcome"), outcome);
        tried.get::<_, bool>("watched")
    };
    assert!(watched("held").await);

    first.release().await;
    let stranger = support::client(&cluster.url()).await;
    let lock = "SELECT pg_advisory_lock('pgleader.election'::regclass::oid::integer, $election)";
    stranger.batch_execute(&first.fill(lock)).await.unwrap();
    assert!(!watched("held").await, "a stranger");
    stranger
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await
        .unwrap();
    assert!(!watched("won").await, "nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_killed_at_the_same_moment_makes_it_wait() {
    let gap = gap_when(|cluster| {
        cluster
            .execute("SELECT pg_terminate_backend(pg_backend_pid())")
            .expect_err("a session that ends itself gets no answer");
    })
    .await;
    assert_waited(gap);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_that_failed_at_the_same_moment_makes_it_wait() {
    let gap = gap_when(|cluster| {
        let fatal = || {
            let count = cluster.query(
                "SELECT sessions_fatal FROM pg_stat_database WHERE datname = current_database()",
            );
            count.unwrap().unwrap().parse::<i64>().unwrap()
        };
        let before = fatal();
        let socket = std::os::unix::net::UnixStream::connect(
            cluster
                .socket_dir()
                .join(format!(".s.PGSQL.{}", cluster.port())),
        )
        .unwrap();
        fatal_session(socket);
        support::wait_until("the fatal end is counted", || fatal() > before);
    })
    .await;
    assert_waited(gap);
}

/// Speak enough of the protocol to be a session, then break it: the server ends it as fatal.
fn fatal_session(mut socket: std::os::unix::net::UnixStream) {
    use std::io::{Read, Write};
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(parameters.len() + 8).unwrap();
    let mut startup = length.to_be_bytes().to_vec();
    startup.extend(196_608_u32.to_be_bytes());
    startup.extend(parameters);
    socket.write_all(&startup).unwrap();
    let mut answer = vec![0; 4096];
    let mut seen: Vec<u8> = vec![];
    while !seen.windows(6).any(|six| six == b"Z\0\0\0\x05I") {
        let read = socket.read(&mut answer).unwrap();
        assert!(read > 0, "the server refused the session");
        seen.extend(&answer[..read]);
    }
    // No message of the protocol has this type.
    socket.write_all(b"\x01\0\0\0\x04").unwrap();
    let _ = socket.read(&mut answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_that_were_reset_make_it_wait() {
    let gap = gap_when(|cluster| cluster.execute("SELECT pg_stat_reset()").unwrap()).await;
    assert_waited(gap);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_has_just_arrived_waits() {
    let mut race = Race::empty("late");
    let conninfo = race.cluster.url();
    race.join(&conninfo, "first");
    race.until_term(1).await;
    race.processes[0].kill();
    race.join(&conninfo, "second");
    race.until_term(2).await;
    assert_waited(race.gap_after(1));
    record::assert_no_overlap(&race.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_of_a_process_that_hangs_makes_it_wait() {
    let race = Race::start("hangs", Cluster::url).await;
    race.processes[0].stop();
    race.cluster.terminate_leader("hangs").unwrap();
    race.until_term(2).await;
    race.processes[0].go_on();
    assert_waited(race.gap_after(1));
    support::until("the woken process follows", || {
        support::status(&race.cluster, "hangs", "successor").as_deref() == Some("first")
    })
    .await;
    record::assert_no_overlap(&race.steps());
}
