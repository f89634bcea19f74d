//! The server's queue of notifications is full: a NOTIFY fails when its transaction commits, where nothing can catch it.
//! What operators ask for is heard all the same. Settles rows of docs/development/known-faults.md.

use std::future::poll_fn;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{Cluster, contest, leading, status, until, until_successor};
use pg_leader::operator::Operator;
use pg_leader::testing::Binaries;
use tokio_postgres::{AsyncMessage, NoTls};

/// Somebody who listens in an open transaction, and so many notifications that there is room for none.
struct Full(
    #[expect(dead_code, reason = "its transaction stays open")] Option<tokio_postgres::Client>,
);

/// Before 17 the queue is 8 GB: there the server's word is taken from another function.
async fn full(cluster: &Cluster) -> Full {
    if cluster.version() < 17 {
        let says = "CREATE OR REPLACE FUNCTION pgleader.queue_usage() RETURNS double precision \
                    LANGUAGE sql AS 'SELECT 0.5::double precision'";
        cluster.execute(says).unwrap();
        return Full(None);
    }
    let listener = support::client(&cluster.url()).await;
    let listens = "LISTEN elsewhere; BEGIN; SELECT 1";
    listener.batch_execute(listens).await.unwrap();
    let filler = support::client(&cluster.url()).await;
    let error = loop {
        let fills =
            "SELECT pg_notify('elsewhere', n || repeat('x', 7000)) FROM generate_series(1, 8) AS n";
        if let Err(error) = filler.batch_execute(fills).await {
            break error;
        }
    };
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("54000"),
        "{error}"
    );
    Full(Some(listener))
}

fn cluster() -> Cluster {
    let mut builder = Cluster::builder();
    if Binaries::find().unwrap().version() >= 17 {
        builder = builder.setting("max_notify_queue_pages", "64");
    }
    builder.start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lever_works_and_terms_go_on() {
    let cluster = cluster();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "full", 2, &record).await;
    let operator = Operator::connect(cluster.url()).await.unwrap();
    let _full = full(&cluster).await;

    let asked = operator.step_down("full", None).await.unwrap();
    assert_eq!(asked.term, Some(1));
    until("the other leads", || candidates[1].leads()).await;
    until_successor(&cluster, "full").await;
    operator.transfer("full", "full-0", None).await.unwrap();
    until("the first leads", || candidates[0].leads()).await;
    operator.exclude("full", "full-0", None).await.unwrap();
    until("the other leads", || candidates[1].leads()).await;
    assert!(
        operator
            .include("full", "full-0", None)
            .await
            .unwrap()
            .is_some()
    );
    operator.suspend("full", None).await.unwrap();
    let vacant = || status(&cluster, "full", "state").as_deref() == Some("vacant");
    until("nobody leads", vacant).await;
    assert!(operator.resume("full", None).await.unwrap().is_some());
    leading(&candidates).await;
    let term = record.last_term();
    until_successor(&cluster, "full").await;
    let deposed = operator.depose("full", None).await.unwrap();
    assert_eq!(deposed.term, Some(term));
    until("the next term works", || record.last_term() > term).await;
    record::assert_no_overlap(&record.steps());
}

/// Whatever becomes of the caller's transaction: what is done is said when it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_depose_says_that_it_acted_and_a_lever_that_nobody_was_notified() {
    let cluster = cluster();
    let record = Record::in_memory();
    let candidates = contest(&cluster, "told", 2, &record).await;
    let config: tokio_postgres::Config = cluster.url().parse().unwrap();
    let (client, mut connection) = config.connect(NoTls).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = tell.send(format!("{}: {}", notice.severity(), notice.message()));
            }
        }
    });
    let mut heard = || {
        let mut heard = vec![];
        while let Ok(notice) = told.try_recv() {
            heard.push(notice);
        }
        heard
    };
    let suspends = "BEGIN; SELECT pgleader.suspend('told'); ROLLBACK";
    client.batch_execute(suspends).await.unwrap();
    assert_eq!(heard(), [] as [String; 0], "there is room");
    let _full = full(&cluster).await;
    client.batch_execute(suspends).await.unwrap();
    let words = heard();
    assert!(
        matches!(&words[..], [warning] if warning.starts_with("WARNING: nobody was notified")),
        "{words:?}"
    );
    client
        .batch_execute("BEGIN; SELECT pgleader.depose('told'); ROLLBACK")
        .await
        .unwrap();
    let words = heard();
    let acted = "NOTICE: the session of the leader of election \"told\" was ended: term 1 is over";
    assert!(words.iter().any(|notice| notice == acted), "{words:?}");
    until("the next term works", || record.last_term() > 1).await;
    leading(&candidates).await;
}
