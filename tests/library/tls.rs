//! TLS, as far as `sslmode` asks for it. Needs the feature `tls`.
#![cfg(feature = "tls")]

use crate::support::certified::Certified;
use crate::support::record::{self, Record};
use crate::support::{Candidate, config, until};
use pg_leader::{Elector, Error};

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_verifies_what_it_says() {
    let certified = Certified::start();
    let (root, other) = (certified.root.as_path(), certified.other_root.as_path());
    let table = [
        ("127.0.0.1", "disable", None, true, false),
        ("127.0.0.1", "prefer", None, true, true),
        ("127.0.0.1", "require", None, true, true),
        ("127.0.0.1", "verify-ca", Some(root), true, true),
        ("127.0.0.1", "verify-ca", Some(other), false, true),
        ("127.0.0.1", "require", Some(other), false, true),
        ("127.0.0.1", "verify-full", Some(root), false, true),
        ("localhost", "verify-full", Some(root), true, true),
        ("localhost", "verify-full", Some(other), false, true),
    ];
    for (host, mode, root, accepted, encrypted) in table {
        let conninfo = certified.conninfo(host, mode, root);
        let connected: Result<Elector, Error> = Elector::connect(config(&conninfo)).await;
        assert_eq!(connected.is_ok(), accepted, "{conninfo}: {connected:?}");
        let Ok(elector) = connected else {
            continue;
        };
        let tls = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                   WHERE application_name LIKE 'pg-leader%'";
        let expected = if encrypted { "t" } else { "f" };
        assert_eq!(
            certified.cluster.query(tls).unwrap().as_deref(),
            Some(expected),
            "{conninfo}"
        );
        elector.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_under_tls_loses_its_session_and_leads_again() {
    let certified = Certified::start();
    let conninfo = certified.conninfo("localhost", "verify-full", Some(&certified.root));
    let record = Record::in_memory();
    let candidate = Candidate::start(config(&conninfo), "tls", "a", &record).await;
    until("it leads", || candidate.leads()).await;
    let direct = certified.cluster.query("SELECT direct FROM pgleader.term");
    assert_eq!(direct.unwrap().as_deref(), Some("t"));
    certified.cluster.terminate_leader("tls").unwrap();
    until("it leads again", || {
        candidate.leads() && record.last_term() == 2
    })
    .await;
    record::assert_no_overlap(&record.steps());
}
