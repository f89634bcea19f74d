//! Credentials as people have them, and what is said to whoever is not let in: each error names what mends it, and says
//! whether trying again can help.
#![cfg(feature = "tls")]

use crate::support::certified::{Certified, KeyForm};
use crate::support::{config, elector, wait_until};
use pg_leader::testing::Cluster;
use pg_leader::{Elector, Error, ErrorKind};

async fn connect(conninfo: &str) -> Result<(), Error> {
    let connected = Elector::connect(config(conninfo)).await;
    connected?.shutdown().await;
    Ok(())
}

async fn assert_denied(conninfo: &str, words: &[&str]) {
    let error = connect(conninfo).await.expect_err(conninfo);
    assert_eq!(error.kind(), ErrorKind::Denied, "{conninfo}: {error}");
    assert!(!error.is_retryable(), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{conninfo}: {error}");
    }
}

/// With a key as people have it: PKCS#8, and what older tools have written.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_proves_itself_by_a_certificate() {
    let certified = Certified::start();
    elector(&certified.cluster).await.shutdown().await;
    let role = "CREATE ROLE certified LOGIN; SELECT pgleader.grant_candidate('certified')";
    certified.cluster.execute(role).unwrap();
    certified.ask_for_certificates();
    let conninfo = |files: Option<[std::path::PathBuf; 2]>| {
        let place = certified.conninfo("localhost", "verify-full", Some(&certified.root));
        let place = place.replace("user=postgres", "user=certified dbname=postgres");
        files.map_or(place.clone(), |[certificate, key]| {
            format!(
                "{place} sslcert='{}' sslkey='{}'",
                certificate.display(),
                key.display()
            )
        })
    };
    for form in [KeyForm::Pkcs8, KeyForm::Pkcs1, KeyForm::Sec1] {
        let files = certified.certificate_of("certified", form);
        let connected = connect(&conninfo(Some(files))).await;
        assert!(connected.is_ok(), "{form:?}: {connected:?}");
    }
    assert_denied(&conninfo(None), &["28000", "sslcert"]).await;
    let of_another = certified.certificate_of("another", KeyForm::Pkcs8);
    assert_denied(&conninfo(Some(of_another)), &["28000", "pg_hba.conf"]).await;
    let forged = certified.forged_certificate_of("certified");
    assert_denied(&conninfo(Some(forged)), &["TLS", "sslcert", "ssl_ca_file"]).await;

    let [certificate, key] = certified.certificate_of("certified", KeyForm::Pkcs8);
    std::fs::write(&certificate, "no certificate").unwrap();
    let unread = connect(&conninfo(Some([certificate.clone(), key.clone()]))).await;
    assert_eq!(unread.unwrap_err().kind(), ErrorKind::Configuration);
    use std::os::unix::fs::PermissionsExt;
    let for_all = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&key, for_all).unwrap();
    let [certificate, _] = certified.certificate_of("certified", KeyForm::Sec1);
    let open = connect(&conninfo(Some([certificate, key])))
        .await
        .unwrap_err();
    assert!(open.to_string().contains("chmod 600"), "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_certificate_keeps_out_hears_what_mends_it() {
    let (valid, expired) = (Certified::start(), Certified::expired());
    for (of, host, root, words) in [
        (
            &expired,
            "localhost",
            &expired.root,
            "renew the server's certificate",
        ),
        (&valid, "127.0.0.1", &valid.root, "connect by a name"),
        (&valid, "localhost", &valid.other_root, "sslrootcert=FILE"),
    ] {
        let conninfo = of.conninfo(host, "verify-full", Some(root));
        assert_denied(&conninfo, &["TLS: ", words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_server_keeps_out_hears_what_mends_it() {
    let cluster = Cluster::start().unwrap();
    elector(&cluster).await.shutdown().await;
    for statement in [
        "CREATE ROLE knows LOGIN PASSWORD 'it'",
        "CREATE ROLE groups NOLOGIN",
        "CREATE DATABASE closed",
        "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    ] {
        cluster.execute(statement).unwrap();
    }
    let rules = "local all postgres trust\n\
                 host all postgres 127.0.0.1/32 trust\n\
                 host all groups,nobody 127.0.0.1/32 trust\n\
                 host all knows 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(cluster.data_dir().join("pg_hba.conf"), rules).unwrap();
    cluster.execute("SELECT pg_reload_conf()").unwrap();
    let loaded = "SELECT count(*) FROM pg_hba_file_rules WHERE 'groups' = ANY (user_name)";
    wait_until("the rules are there", || {
        cluster.query(loaded).unwrap().as_deref() == Some("1")
    });
    let port = cluster.port();
    for (login, words) in [
        (
            "user=knows password=wrong dbname=postgres",
            ["28P01", "PGPASSWORD"],
        ),
        ("user=nobody dbname=postgres", ["28000", "LOGIN"]),
        ("user=groups dbname=postgres", ["28000", "LOGIN"]),
        ("user=unlisted dbname=postgres", ["28000", "pg_hba.conf"]),
        ("user=postgres dbname=missing", ["3D000", "dbname"]),
        (
            "user=knows password=it dbname=closed",
            ["42501", "GRANT CONNECT"],
        ),
    ] {
        assert_denied(&format!("host=127.0.0.1 port={port} {login}"), &words).await;
    }
    // Nobody has to do anything there: it may come.
    for nowhere in [
        "host=nowhere.invalid user=u",
        "host=127.0.0.1 port=1 user=u",
    ] {
        let error = connect(nowhere).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Connection && error.is_retryable(),
            "{error}"
        );
        assert!(error.to_string().contains("look at"), "{error}");
    }
}
