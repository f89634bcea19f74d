//! The rows that keep an election's numbers from being given out again: nobody deletes or lowers them by accident, not
//! even who owns them. Settles, with tests/database/rights.rs, row 42 of docs/development/known-faults.md in part.

use crate::support;
use crate::support::seat::Seat;
use crate::support::url_of;
use pg_leader::testing::Cluster;
use tokio_postgres::Client;

async fn refused(client: &Client, statement: &str) {
    client.batch_execute("BEGIN").await.unwrap();
    let error = client.batch_execute(statement).await.expect_err(statement);
    client.batch_execute("ROLLBACK").await.unwrap();
    let error = error.as_db_error().expect("the server refuses");
    assert_eq!(error.code().code(), "55000", "{statement}: {error:?}");
    assert!(error.hint().is_some(), "{statement}: no hint");
}

/// An election, `e`, with `terms` terms and one more that has begun by itself.
async fn elections(cluster: &Cluster, terms: u32) -> Seat {
    support::install_by_an_ordinary_owner(cluster, &[]).await;
    let seat = Seat::join(cluster, "e", "a").await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1));
    cluster
        .execute(&format!(
            "INSERT INTO pgleader.term (election_id, number, address, instance_hash, lease, pid, backend_start, \
                                        direct, system_identifier, timeline, token, vacated_at, closed_at, ended_at) \
             SELECT t.election_id, n, t.address, t.instance_hash, t.lease, t.pid, t.backend_start, t.direct, \
                    t.system_identifier, t.timeline, gen_random_uuid(), now(), now(), now() \
             FROM pgleader.term AS t, generate_series(2, {terms}) AS n; \
             UPDATE pgleader.election SET term = {terms}, closed_term = {terms} - 1"
        ))
        .unwrap();
    seat
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_deletes_or_lowers_what_keeps_the_numbers() {
    let cluster = Cluster::start().unwrap();
    let _seat = elections(&cluster, 3).await;
    for role in ["owner", "postgres"] {
        let client = support::client(&url_of(&cluster, role)).await;
        for statement in [
            "DELETE FROM pgleader.election",
            "DELETE FROM pgleader.election WHERE name = 'e'",
            "TRUNCATE pgleader.election",
            "TRUNCATE pgleader.election, pgleader.term, pgleader.candidate, pgleader.request",
            "UPDATE pgleader.election SET name = 'f'",
            "UPDATE pgleader.election SET id = DEFAULT",
            "UPDATE pgleader.election SET term = term - 1",
            "UPDATE pgleader.election SET term = term + 1",
            "UPDATE pgleader.election SET term = 1000, address = 'b'",
            "INSERT INTO pgleader.election (name) VALUES ('e') ON CONFLICT (name) DO UPDATE SET term = 4",
            "UPDATE pgleader.election SET term = 0, closed_term = 0",
            "UPDATE pgleader.election SET closed_term = closed_term - 1",
            "INSERT INTO pgleader.election (name) VALUES ('e') ON CONFLICT (name) DO UPDATE SET term = 0",
            "DELETE FROM pgleader.term",
            "DELETE FROM pgleader.term WHERE number = 3",
            "DELETE FROM pgleader.term WHERE number = 1",
            "TRUNCATE pgleader.term",
            "UPDATE pgleader.term SET number = 9 WHERE number = 3",
            "UPDATE pgleader.term SET election_id = 9 WHERE number = 3",
        ] {
            refused(&client, statement).await;
        }
        // What is not about the numbers is the owner's affair.
        for statement in [
            "UPDATE pgleader.election SET term = term, address = 'b'",
            "UPDATE pgleader.election SET name = name, id = DEFAULT WHERE false",
            "UPDATE pgleader.term SET address = 'b', number = number",
            "DELETE FROM pgleader.term WHERE number = 9",
        ] {
            client
                .batch_execute(&format!("BEGIN; {statement}; ROLLBACK"))
                .await
                .expect(statement);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_older_than_the_last_thousand_may_go_and_go_by_themselves() {
    let cluster = Cluster::start().unwrap();
    let seat = elections(&cluster, 1019).await;
    let owner = support::client(&url_of(&cluster, "owner")).await;
    refused(&owner, "DELETE FROM pgleader.term WHERE number <= 20").await;
    refused(&owner, "DELETE FROM pgleader.term WHERE number = 20").await;
    owner
        .batch_execute("BEGIN; DELETE FROM pgleader.term WHERE number <= 19; ROLLBACK")
        .await
        .unwrap();
    // Those of another election are no help.
    owner
        .batch_execute("DELETE FROM pgleader.term WHERE number <= 5")
        .await
        .unwrap();
    let shown = "SELECT concat(count(*), ' from ', min(number)) FROM pgleader.term";
    assert_eq!(
        cluster.query(shown).unwrap().as_deref(),
        Some("1014 from 6")
    );
    seat.release().await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1020));
    assert_eq!(
        cluster.query(shown).unwrap().as_deref(),
        Some("1000 from 21")
    );
}

/// A subscriber's worker, and a restore that disables triggers, write what they are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_follows_its_publisher() {
    let cluster = Cluster::start().unwrap();
    let _seat = elections(&cluster, 3).await;
    let client = support::client(&cluster.url()).await;
    client
        .batch_execute(
            "BEGIN; SET LOCAL session_replication_role = replica; \
             UPDATE pgleader.election SET term = 1, closed_term = 0; DELETE FROM pgleader.term; \
             DELETE FROM pgleader.election; TRUNCATE pgleader.election, pgleader.term; ROLLBACK",
        )
        .await
        .unwrap();
    let always = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O'";
    assert_eq!(cluster.query(always).unwrap().as_deref(), Some("0"));
}
