//! Looks at several hosts that fail, come late or miss what there is, on real servers.

use std::time::Instant;

use crate::support;
use crate::support::cluster::url_at;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{Candidate, Cluster, LEASE, any_of, config, status, until};
use pg_leader::WaitingFor;
use pg_leader::doctor::{Severity, examine};

/// From now on nobody finds out what is led on this server, where anything is.
fn hide_what_is_led(cluster: &Cluster) {
    let answer = "election integer, name text, term bigint, state text, address text, lease_ms integer, bar text, \
                  called boolean";
    let hidden = format!(
        "CREATE OR REPLACE FUNCTION pgleader.read_elections(names text[], instance uuid DEFAULT NULL::uuid) \
         RETURNS TABLE ({answer}) LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'not now' USING ERRCODE = 'query_canceled'; END $$"
    );
    cluster.execute(&hidden).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_out_counts_as_held_and_not_for_ever() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    // It knows of no other host, so it never moves.
    let old_record = Record::in_memory();
    let old = Candidate::start(config(&primary.url()), "hidden", "old", &old_record).await;
    until("the old one leads", || old.leads()).await;
    support::until_replicated(&standby, "hidden").await;
    standby.promote().unwrap();
    hide_what_is_led(&primary);

    let began = Instant::now();
    let patience = LEASE * 5;
    let new = Candidate::start(
        config(&any_of(&[&primary, &standby])).retry_interval(patience),
        "hidden",
        "new",
        &Record::in_memory(),
    )
    .await;
    support::until_waiting_for(&new, WaitingFor::AnotherHost).await;
    // One host that cannot be asked keeps nobody from leading for ever.
    until("the new one leads", || new.leads()).await;
    let waited = began.elapsed();
    assert!(waited >= patience * 9 / 10, "it led after {waited:?}");
    assert!(status(&standby, "hidden", "leader_pid").is_some());
    assert!(old.leads());
}

/// It answers later than the others are waited for: it is found all the same, and gone to.
#[tokio::test(flavor = "multi_thread")]
async fn a_higher_one_that_is_slow_is_moved_to() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let slow = Proxy::start(standby.port()).await;
    slow.delay(LEASE / 10);
    let hosts = url_at(&format!(
        "127.0.0.1:{},127.0.0.1:{}",
        primary.port(),
        slow.port
    ));
    let record = Record::in_memory();
    let leader = Candidate::start(config(&hosts), "slow", "a", &record).await;
    until("it leads", || leader.leads()).await;
    support::until_replicated(&standby, "slow").await;
    standby.promote().unwrap();
    until("it leads on the higher", || {
        status(&standby, "slow", "leader_pid").is_some() && leader.leads()
    })
    .await;
    assert_eq!(status(&primary, "slow", "leader_pid"), None);
    record::assert_no_overlap(&record.steps());
}

/// The one on the higher cannot see the lower, and the one on the lower has yet to look.
#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_are_led_together_no_longer_than_documented() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let cut = Proxy::start(primary.port()).await;
    let record = Record::in_memory();
    let retry_interval = LEASE * 4;
    let candidate = async |hosts: &str, address: &str| {
        let config = config(hosts).retry_interval(retry_interval);
        Candidate::start(config, "both", address, &record).await
    };
    let first = candidate(&any_of(&[&primary, &standby]), "first").await;
    until("the first leads", || first.leads()).await;
    let hosts = url_at(&format!(
        "127.0.0.1:{},127.0.0.1:{}",
        standby.port(),
        cut.port
    ));
    let second = candidate(&hosts, "second").await;
    support::until_successor(&primary, "both").await;
    support::until_replicated(&standby, "both").await;

    cut.swallow(true, true);
    standby.promote().unwrap();
    until("the second leads on the higher", || {
        second.leads() || record.last_term() > 1
    })
    .await;
    until("the first has left the lower", || {
        status(&primary, "both", "leader_pid").is_none()
    })
    .await;
    // Until it looks, until it is answered, and until its work is over: see docs/design.md.
    let bound = retry_interval * 5 / 4 + LEASE / 4 + LEASE;
    let overlap = record::overlap(&record.steps());
    assert!(overlap <= bound, "{overlap:?}");
    cut.swallow(false, false);
    let began = Instant::now();
    let steps = record.steps().len();
    until("all have looked again", || began.elapsed() > LEASE * 2).await;
    assert!(record.steps().len() > steps, "nobody leads any more");
    assert_eq!(status(&primary, "both", "leader_pid"), None);
    assert_eq!(record::overlap(&record.steps()), overlap);
}

/// It wins the lock of the lower before its next look, which is far away: it looks first, and leaves.
#[tokio::test(flavor = "multi_thread")]
async fn who_wins_a_lock_looks_before_it_works() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let record = Record::in_memory();
    // Both know of one host alone.
    let old = Candidate::start(config(&primary.url()), "late", "old", &record).await;
    until("the old one leads", || old.leads()).await;
    let patience = LEASE * 100;
    let hosts = config(&any_of(&[&primary, &standby])).retry_interval(patience);
    let late = Candidate::start(hosts, "late", "late", &record).await;
    support::until_successor(&primary, "late").await;
    support::until_replicated(&standby, "late").await;

    standby.promote().unwrap();
    let apart = Record::in_memory();
    let new = Candidate::start(config(&standby.url()), "late", "new", &apart).await;
    until("the new one leads on the higher", || new.leads()).await;
    old.candidacy.leave().await;
    until("the late one has gone to the higher", || {
        status(&standby, "late", "successor").as_deref() == Some("late")
    })
    .await;
    assert_eq!(
        record.last_term(),
        1,
        "it worked beside the leader of the higher"
    );
    assert!(new.leads());

    new.candidacy.leave().await;
    until("it leads there", || late.leads()).await;
    assert_eq!(record.last_term(), apart.last_term() + 1);
}

/// A host that neither answers nor refuses holds nobody up for longer than a look.
#[tokio::test(flavor = "multi_thread")]
async fn work_starts_though_a_host_says_nothing() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    let mute = Proxy::start(standby.port()).await;
    let hosts = url_at(&format!(
        "127.0.0.1:{},127.0.0.1:{}",
        primary.port(),
        mute.port
    ));
    let record = Record::in_memory();
    let first = Candidate::start(config(&hosts), "mute", "first", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&hosts), "mute", "second", &record).await;
    support::until_successor(&primary, "mute").await;
    mute.swallow(true, true);
    let began = Instant::now();
    first.candidacy.leave().await;
    until("the second leads", || second.leads()).await;
    let took = began.elapsed();
    assert!(took < LEASE * 3, "{took:?}");
    record::assert_no_overlap(&record.steps());
}

/// Without one right no more is hidden than what it is for.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_writers_that_do_not_tell_their_cluster() {
    let primary = Cluster::start().unwrap();
    let standby = primary.standby().unwrap();
    primary
        .execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        .unwrap();
    let told = "SELECT has_function_privilege('public', 'pg_control_system()', 'EXECUTE')";
    until("the standby does not tell either", || {
        standby.query(told).unwrap().as_deref() == Some("f")
    })
    .await;
    standby.promote().unwrap();
    let hosts = any_of(&[&primary, &standby]);
    let findings = examine(config(&hosts)).await.unwrap();
    let found = findings.iter().find(|finding| finding.check == "hosts");
    let found = found.expect("there are several");
    assert_eq!(found.severity, Severity::Problem, "{found:?}");
    for (cluster, timeline) in [(&primary, 1), (&standby, 2)] {
        let says = format!(
            "127.0.0.1:{}: a primary on timeline {timeline}",
            cluster.port()
        );
        assert!(found.what.contains(&says), "{says}: {}", found.what);
    }
    assert!(
        found.what.contains("do not tell of which cluster"),
        "{found:?}"
    );
}
