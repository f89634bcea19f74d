//! The steady state writes nothing, with one election and with a hundred (invariant 7).

mod support;

use pg_leader::testing::Cluster;
use support::record::Record;
use support::{LEASE, elector, steady, until};

/// The newest transaction id, and how much was written. To ask takes neither.
fn written(cluster: &Cluster) -> String {
    let written =
        "SELECT pg_snapshot_xmax(pg_current_snapshot()) || ' ' || pg_current_wal_insert_lsn()";
    cluster.query(written).unwrap().unwrap()
}

async fn assert_steady(elections: usize) {
    // What the server writes by itself.
    let cluster = Cluster::builder()
        .setting("autovacuum", "off")
        .setting("checkpoint_timeout", "1h")
        .setting("max_wal_senders", "0")
        .setting("wal_level", "minimal")
        .start()
        .unwrap();
    let record = Record::in_memory();
    let electors = [
        elector(&cluster).await,
        elector(&cluster).await,
        elector(&cluster).await,
    ];
    let mut leaders = vec![];
    for (index, elector) in electors.iter().enumerate() {
        for election in 0..elections {
            let name = format!("e{election}");
            let address = format!("a{index}");
            leaders.push(elector.campaign(&name, &address, steady(&record)).unwrap());
        }
        let places = "SELECT count(*) FROM pgleader.status \
                      WHERE state = 'leading' AND candidates = $candidates AND (successor IS NOT NULL OR $candidates = 1)";
        let places = places.replace("$candidates", &(index + 1).to_string());
        until("all have their places", || {
            cluster.query(&places).unwrap() == Some(elections.to_string())
        })
        .await;
    }
    // What was asked for when the last of them came is answered.
    tokio::time::sleep(LEASE / 2).await;
    let before = written(&cluster);
    tokio::time::sleep(LEASE * 3).await;
    let after = written(&cluster);
    assert_eq!(
        before, after,
        "{elections} elections: transaction ids were taken, or something was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_election_writes_nothing_and_takes_no_transaction_id() {
    assert_steady(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_elections_write_nothing_and_take_no_transaction_id() {
    assert_steady(100).await;
}
