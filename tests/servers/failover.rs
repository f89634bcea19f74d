//! The database is lost and another takes its place: terms never go back, the refractory period is kept
//! although a vacate says that it need not be, what the lost term still sends is refused, and a leader that lives on
//! and is cut off has stopped (invariants 1, 2 and 3). Settles rows 18 and 26 of docs/development/known-faults.md.

use std::sync::Arc;
use std::time::Instant;

use crate::support;
use crate::support::proxy::Proxy;
use crate::support::record::{self, Record};
use crate::support::{
    Candidate, Cluster, any_by, any_of, assert_refractory, block, config, status, until,
    until_replicated, until_successor,
};
use pg_leader::ProcessState;

async fn until_shown(cluster: &Cluster, what: &str, query: &str, value: &str) {
    until(
        what,
        || matches!(cluster.query(query), Ok(Some(shown)) if shown == value),
    )
    .await;
}

/// A transaction that writes, asks the fence about a term, and commits whatever the answer was.
/// The SQLSTATE of the refusal, where it was refused.
async fn write_fenced(
    cluster: &Cluster,
    isolation: &str,
    election: &str,
    term: i64,
) -> Option<String> {
    let (client, connection) = tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let begin = format!("BEGIN ISOLATION LEVEL {isolation}; INSERT INTO ledger VALUES ({term})");
    client.batch_execute(&begin).await.unwrap();
    let fence = format!("SELECT pgleader.fence('{election}', {term})");
    let refused = client.batch_execute(&fence).await.err();
    client.batch_execute("COMMIT").await.unwrap();
    refused.map(|error| error.code().expect("the server refuses").code().to_owned())
}

async fn assert_refused(cluster: &Cluster, election: &str, term: i64, under: [(&str, &str); 3]) {
    for (isolation, code) in under {
        let refusal = write_fenced(cluster, isolation, election, term).await;
        assert_eq!(refusal.as_deref(), Some(code), "{isolation}");
    }
    let written = cluster.query(&format!("SELECT count(*) FROM ledger WHERE term = {term}"));
    assert_eq!(written.unwrap().as_deref(), Some("0"));
}

const ISOLATIONS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

fn with(codes: [&'static str; 3]) -> [(&'static str, &'static str); 3] {
    std::array::from_fn(|index| (ISOLATIONS[index], codes[index]))
}

/// A primary whose last term never reached its standby, which believes that nobody works: the first term
/// was vacated before the standby was cut off, and the candidates took over after it.
struct Lost {
    primary: Cluster,
    standby: Cluster,
    term: i64,
    leader: Candidate,
    _successor: Candidate,
}

impl Lost {
    /// Whether the candidates `follow` to the standby when it is promoted.
    async fn term(election: &str, follow: bool, record: &Arc<Record>) -> Lost {
        let [primary, standby] = pair();
        let conninfo = if follow {
            any_of(&[&primary, &standby])
        } else {
            primary.url()
        };
        Lost::term_by([primary, standby], election, [&conninfo; 2], record).await
    }

    /// By the connection strings of the leader and of its successor.
    async fn term_by(
        [primary, standby]: [Cluster; 2],
        election: &str,
        [leader, successor]: [&str; 2],
        record: &Arc<Record>,
    ) -> Lost {
        primary
            .execute("CREATE TABLE ledger (term bigint)")
            .unwrap();
        let first = Candidate::start(config(leader), election, "first", record).await;
        until("the first term works", || record.last_term() == 1).await;
        first.candidacy.leave().await;
        let vacated = format!(
            "SELECT vacated_at IS NOT NULL FROM pgleader.term JOIN pgleader.election AS e \
             ON e.id = election_id WHERE e.name = '{election}' AND number = 1"
        );
        until_shown(
            &standby,
            "the vacate has reached the standby",
            &vacated,
            "t",
        )
        .await;
        standby.stop_replication().unwrap();

        let leader = Candidate::start(config(leader), election, "second", record).await;
        until("the lost term works", || record.last_term() == 2).await;
        let successor = Candidate::start(config(successor), election, "third", record).await;
        until_successor(&primary, election).await;
        let known = format!("SELECT term FROM pgleader.election WHERE name = '{election}'");
        assert_eq!(standby.query(&known).unwrap().as_deref(), Some("1"));
        Lost {
            primary,
            standby,
            term: 2,
            leader,
            _successor: successor,
        }
    }
}

/// A primary and its standby.
fn pair() -> [Cluster; 2] {
    let primary = Cluster::builder().durable().start().unwrap();
    let standby = primary.standby().unwrap();
    [primary, standby]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_term_is_exceeded_and_its_work_waited_for() {
    let record = Record::in_memory();
    let lost = Lost::term("lost", true, &record).await;

    lost.primary.stop_immediate().unwrap();
    let promoted = Instant::now();
    lost.standby.promote().unwrap();
    until("the next term works", || record.last_term() > lost.term).await;

    // The work could begin no sooner than the standby could be written.
    assert_refractory(promoted.elapsed());
    assert_eq!(block(record.last_term()), 1);
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_term_is_refused_before_and_after_the_next_begins() {
    let record = Record::in_memory();
    let lost = Lost::term("refused", false, &record).await;
    lost.primary.stop_immediate().unwrap();
    lost.standby.promote().unwrap();

    // The standby has never heard of it, and says so at every level, or a retry would never end.
    let unknown = with(["PL002"; 3]);
    assert_refused(&lost.standby, "refused", lost.term, unknown).await;
    let vacated = with(["PL001"; 3]);
    assert_refused(&lost.standby, "refused", 1, vacated).await;

    let joined = Instant::now();
    let next = Candidate::start(config(&lost.standby.url()), "refused", "next", &record).await;
    until("the next term works", || record.last_term() > lost.term).await;
    assert_refractory(joined.elapsed());
    let over = with(["PL001"; 3]);
    assert_refused(&lost.standby, "refused", lost.term, over).await;
    // And the fence is not simply shut.
    let admitted = write_fenced(
        &lost.standby,
        ISOLATIONS[0],
        "refused",
        next.candidacy.term(),
    )
    .await;
    assert_eq!(admitted, None);
}

/// On the new timeline, and long enough for the steps of an old leader that has not stopped to show.
async fn until_next_works_on(record: &Record, lost: i64) {
    until("the next term works", || {
        let steps = record.steps();
        steps.iter().filter(|step| step.term > lost).count() > 50
    })
    .await;
    assert_eq!(block(record.last_term()), 1);
}

/// Nobody hears from the old primary any more, and its leader hears from nobody. Both live on, and nothing is reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_has_stopped_before_the_next_works() {
    let record = Record::in_memory();
    let [primary, standby] = pair();
    let to_primary = Proxy::start(primary.port()).await;
    let to_standby = Proxy::start(standby.port()).await;
    // Who finds one of them silent soon asks the other.
    let by = |urls: &[String]| format!("{}&connect_timeout=1", any_by(urls));
    let of_leader = by(&[to_primary.url(), to_standby.url()]);
    let of_successor = by(&[to_primary.url(), standby.url()]);
    let conninfos = [of_leader.as_str(), &of_successor];
    let lost = Lost::term_by([primary, standby], "cut", conninfos, &record).await;

    for way in [&to_primary, &to_standby] {
        way.swallow(true, true);
    }
    lost.standby.promote().unwrap();
    until_next_works_on(&record, lost.term).await;
    assert_eq!(lost.leader.candidacy.state(), ProcessState::Following);
    record::assert_no_overlap(&record.steps());

    // It finds the new primary, where another leads.
    to_standby.swallow(false, false);
    until("the old leader takes part again", || {
        status(&lost.standby, "cut", "candidates").as_deref() == Some("2")
    })
    .await;
    lost.primary
        .execute("INSERT INTO ledger VALUES (0)")
        .unwrap();
    record::assert_no_overlap(&record.steps());
}

/// The time that a promotion takes is not ours: it is done when the leader is cut off, which knows nothing of it. And
/// somebody joins at once who has never heard of the leader.
async fn assert_stopped_when_another_begins(
    standby: &Cluster,
    election: &str,
    record: &Arc<Record>,
    cut: impl FnOnce(),
) {
    standby.promote().unwrap();
    let lost = record.last_term();
    let steps = record.steps().len();
    until("the leader works on", || record.steps().len() > steps).await;
    cut();
    let _next = Candidate::start(config(&standby.url()), election, "next", record).await;
    until_next_works_on(record, lost).await;
    record::assert_no_overlap(&record.steps());
}

/// The standby takes it that nobody works.
async fn assert_a_lost_term_has_stopped(election: &str, [to_server, to_client]: [bool; 2]) {
    let record = Record::in_memory();
    let [primary, standby] = pair();
    let way = Proxy::start(primary.port()).await;
    let lost = Lost::term_by([primary, standby], election, [&way.url(); 2], &record).await;
    let cut = || way.swallow(to_server, to_client);
    assert_stopped_when_another_begins(&lost.standby, election, &record, cut).await;
    assert_eq!(lost.leader.candidacy.state(), ProcessState::Following);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_term_that_is_cut_off_has_stopped_when_another_begins() {
    assert_a_lost_term_has_stopped("silent", [true, true]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_where_the_old_primary_still_hears_from_its_leader() {
    assert_a_lost_term_has_stopped("deaf", [false, true]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_term_that_is_cut_off_has_stopped_when_another_begins() {
    let record = Record::in_memory();
    let [primary, standby] = pair();
    let way = Proxy::start(primary.port()).await;
    let leader = Candidate::start(config(&way.url()), "known", "first", &record).await;
    until("the first term works", || leader.leads()).await;
    until_replicated(&standby, "known").await;
    let cut = || way.swallow(true, true);
    assert_stopped_when_another_begins(&standby, "known", &record, cut).await;
    assert_eq!(leader.candidacy.state(), ProcessState::Following);
}

/// The standby believes that the term before the lost one is current: nobody has closed it there.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_before_the_lost_one_is_refused() {
    let record = Record::in_memory();
    let primary = Cluster::start().unwrap();
    primary
        .execute("CREATE TABLE ledger (term bigint)")
        .unwrap();
    let standby = primary.standby().unwrap();
    let first = Candidate::start(config(&primary.url()), "older", "first", &record).await;
    let second = Candidate::start(config(&primary.url()), "older", "second", &record).await;
    let leads = "SELECT state FROM pgleader.election WHERE term = 1";
    until_shown(
        &standby,
        "the term has reached the standby",
        leads,
        "leading",
    )
    .await;
    standby.stop_replication().unwrap();
    first.candidacy.leave().await;
    until("the lost term works", || second.leads()).await;
    primary.stop_immediate().unwrap();
    standby.promote().unwrap();
    // Invariant 3: no transaction fenced by a term commits after a later one has begun.
    assert_refused(&standby, "older", 1, with(["PL001"; 3])).await;
}

/// The numbers came with a dump from a cluster of a later timeline, or pg_upgrade set the timeline back.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_term_above_the_block_of_its_timeline_is_exceeded() {
    let record = Record::in_memory();
    let primary = Cluster::start().unwrap();
    support::elector(&primary).await.shutdown().await;
    primary
        .execute("INSERT INTO pgleader.election (name, term) VALUES ('high', 20000000000005)")
        .unwrap();
    let standby = primary.standby().unwrap();
    until_shown(
        &standby,
        "the schema",
        "SELECT pgleader.version() >= 100",
        "t",
    )
    .await;
    standby.stop_replication().unwrap();
    let everywhere = any_of(&[&primary, &standby]);
    let candidate = Candidate::start(config(&everywhere), "high", "a", &record).await;
    until("the lost term works", || record.last_term() > 0).await;
    let lost = record.last_term();
    primary.stop_immediate().unwrap();
    until("nobody leads", || !candidate.leads()).await;
    let steps = record.steps().len();
    standby.promote().unwrap();
    // More steps, whatever their number.
    until("work goes on", || record.steps().len() > steps).await;
    let next = record.steps().last().unwrap().term;
    assert!(next > lost, "{next} after {lost}");
}

/// Not even the election's row has reached the standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_election_begins_above_its_lost_terms() {
    let record = Record::in_memory();
    let primary = Cluster::start().unwrap();
    primary
        .execute("CREATE TABLE ledger (term bigint)")
        .unwrap();
    support::elector(&primary).await.shutdown().await;
    let standby = primary.standby().unwrap();
    until_shown(
        &standby,
        "the schema",
        "SELECT pgleader.version() >= 100",
        "t",
    )
    .await;
    standby.stop_replication().unwrap();
    let _lost = Candidate::start(config(&primary.url()), "unheard", "lost", &record).await;
    until("the lost term works", || record.last_term() == 1).await;

    primary.stop_immediate().unwrap();
    standby.promote().unwrap();
    assert_refused(&standby, "unheard", 1, with(["42704"; 3])).await;

    let joined = Instant::now();
    let _next = Candidate::start(config(&standby.url()), "unheard", "next", &record).await;
    until("the next term works", || record.last_term() > 1).await;
    assert_refractory(joined.elapsed());
    assert_eq!(block(record.last_term()), 1);
    record::assert_no_overlap(&record.steps());
    assert_refused(&standby, "unheard", 1, with(["PL001"; 3])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_promotion_has_numbers_of_its_own() {
    let first = Cluster::start().unwrap();
    let second = first.standby().unwrap();
    let third = second.standby().unwrap();
    let everywhere = any_of(&[&first, &second, &third]);
    let record = Record::in_memory();
    let mut candidates = vec![];
    for address in ["a", "b"] {
        candidates.push(Candidate::start(config(&everywhere), "chain", address, &record).await);
    }
    let chain = [&first, &second, &third];
    for (index, primary) in chain.into_iter().enumerate() {
        let blocks = i64::try_from(index).unwrap();
        until("somebody works on this timeline", || {
            record.last_term() > 0 && block(record.last_term()) == blocks
        })
        .await;
        let first = record.last_term();
        assert_eq!(first == 1, index == 0);
        until_successor(primary, "chain").await;
        let leader = support::leading(&candidates).await;
        leader.candidacy.resign().await;
        until("the next term works", || record.last_term() == first + 1).await;
        if let Some(standby) = chain.get(index + 1) {
            let term = "SELECT term FROM pgleader.election WHERE name = 'chain'";
            let number = record.last_term().to_string();
            until_shown(standby, "the term at the standby", term, &number).await;
            primary.stop_immediate().unwrap();
            standby.promote().unwrap();
        }
    }
    let timelines = "SELECT bool_and(pgleader.block(number) + 1 = timeline) FROM pgleader.term";
    assert_eq!(third.query(timelines).unwrap().as_deref(), Some("t"));
    // In the order in which they worked, not in that of their numbers.
    let mut terms: Vec<i64> = record.steps().iter().map(|step| step.term).collect();
    terms.dedup();
    assert!(terms.is_sorted() && terms.len() == 6, "{terms:?}");
    assert_eq!(block(terms[5]), 2);
    record::assert_no_overlap(&record.steps());
}
