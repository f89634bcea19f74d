//! Passwords that rotate: a hook is asked for each connection. The server asks for passwords (SCRAM), and what the hook
//! said before is of no use any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support;
use crate::support::record::{self, Record};
use crate::support::{Candidate, config, elector, until, url_of};
use pg_leader::testing::Cluster;
use pg_leader::{Credentials, Elector, ErrorKind};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

/// Roles that may take part, each with its password, on a server that lets in nobody without.
async fn locked(roles: &[[&str; 2]]) -> Cluster {
    let cluster = Cluster::start().unwrap();
    elector(&cluster).await.shutdown().await;
    for [role, password] in roles {
        cluster
            .execute(&format!(
                "CREATE ROLE {role} LOGIN PASSWORD '{password}'; SELECT pgleader.grant_candidate('{role}')"
            ))
            .unwrap();
    }
    let kept = "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolpassword IS NOT NULL";
    assert_eq!(cluster.query(kept).unwrap().as_deref(), Some("t"));
    let rules = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(cluster.data_dir().join("pg_hba.conf"), rules).unwrap();
    cluster.execute("SELECT pg_reload_conf()").unwrap();
    let deadline = Instant::now() + support::CEILING;
    while refusal(&cluster, roles[0][0], "wrong").await.is_none() {
        assert!(Instant::now() < deadline, "no password is asked for");
    }
    cluster
}

/// Why nobody gets in by that password.
async fn refusal(cluster: &Cluster, role: &str, password: &str) -> Option<SqlState> {
    let mut config: tokio_postgres::Config = url_of(cluster, role).parse().unwrap();
    let refused = config.password(password).connect(NoTls).await.err()?;
    Some(refused.code().expect("the server answers").clone())
}

/// Where an application keeps its password.
#[derive(Clone)]
struct Store {
    held: Arc<Mutex<Credentials>>,
    asked: Arc<AtomicUsize>,
}

impl Store {
    fn of(credentials: Credentials) -> Store {
        Store {
            held: Arc::new(Mutex::new(credentials)),
            asked: Arc::default(),
        }
    }

    /// The connection string has a password too, which is of no use.
    fn config(&self, cluster: &Cluster, role: &str) -> pg_leader::Config {
        let store = self.clone();
        config(&url_of(cluster, &format!("{role}:stale"))).credentials(move || {
            store.asked.fetch_add(1, Ordering::SeqCst);
            let held = store.held.lock().unwrap().clone();
            async move { Ok(held) }
        })
    }

    fn keep(&self, credentials: Credentials) {
        *self.held.lock().unwrap() = credentials;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What the store says is refused for a while: its keeper is late.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_is_asked_for_again() {
    let cluster = locked(&[["app", "old"]]).await;
    let store = Store::of(Credentials::password("old"));
    let record = Record::in_memory();
    let candidate = Candidate::start(store.config(&cluster, "app"), "changed", "a", &record).await;
    until("it leads", || candidate.leads()).await;

    cluster.execute("ALTER ROLE app PASSWORD 'new'").unwrap();
    let refused = refusal(&cluster, "app", "old").await;
    assert_eq!(refused, Some(SqlState::INVALID_PASSWORD));
    // The session that there is goes on.
    let (asked, steps) = (store.asked(), record.steps().len());
    until("it works on", || record.steps().len() > steps + 100).await;
    assert_eq!(store.asked(), asked, "for a connection only");
    cluster.terminate_leader("changed").unwrap();
    until("it has been refused", || store.asked() >= asked + 3).await;
    assert!(!candidate.leads());
    store.keep(Credentials::password("new"));
    until("it leads again", || {
        candidate.leads() && record.last_term() == 2
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

/// With the password its user changes, as those do that are made for some hours.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_was_changed_is_asked_for_again() {
    let cluster = locked(&[["one", "its"], ["two", "other"]]).await;
    let store = Store::of(Credentials::password("its").user("one"));
    let record = Record::in_memory();
    let config = store.config(&cluster, "nobody");
    let candidate = Candidate::start(config, "made", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    let user = "SELECT usename FROM pg_stat_activity WHERE application_name LIKE 'pg-leader%'";
    assert_eq!(cluster.query(user).unwrap().as_deref(), Some("one"));

    let refused = refusal(&cluster, "two", "its").await;
    assert_eq!(refused, Some(SqlState::INVALID_PASSWORD));
    cluster.execute("ALTER ROLE one NOLOGIN").unwrap();
    store.keep(Credentials::password("other").user("two"));
    cluster.terminate_leader("made").unwrap();
    until("it leads again", || {
        candidate.leads() && record.last_term() == 2
    })
    .await;
    assert_eq!(cluster.query(user).unwrap().as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_in_words_that_do_not_tell_it() {
    let cluster = locked(&[["app", "right"]]).await;
    let store = Store::of(Credentials::password("wrong-secret"));
    let refused = Elector::connect(store.config(&cluster, "app")).await;
    let refused = refused.expect_err("the server asks for another");
    assert!(refused.kind() == ErrorKind::Denied, "{refused}");
    let words = format!("{refused} {refused:?}");
    assert!(words.contains("password authentication failed"), "{words}");
    assert!(
        !words.contains("wrong-secret") && !words.contains("stale"),
        "{words}"
    );
    // And the right one is let in.
    store.keep(Credentials::password("right"));
    let elector = Elector::connect(store.config(&cluster, "app"))
        .await
        .unwrap();
    elector.shutdown().await;
}
