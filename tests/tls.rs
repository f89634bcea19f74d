//! TLS, as far as `sslmode` asks for it. Needs the feature `tls`.
#![cfg(feature = "tls")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pg_leader::testing::Cluster;
use pg_leader::{Elector, Error};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use support::record::{self, Record};
use support::{Candidate, config, until};

/// A cluster whose certificate is for `localhost` alone.
struct Certified {
    cluster: Cluster,
    root: PathBuf,
    other_root: PathBuf,
    _directory: tempfile::TempDir,
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Certified {
    fn start() -> Certified {
        let cluster = Cluster::start().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (ours, other) = (root(), root());
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &ours)
            .unwrap();
        let data = cluster.data_dir();
        give(&data, "server.crt", &certificate.pem());
        give(&data, "server.key", &key.serialize_pem());
        cluster.execute("ALTER SYSTEM SET ssl = on").unwrap();
        cluster.execute("SELECT pg_reload_conf()").unwrap();
        support::wait_until("TLS is on", || {
            cluster.query("SHOW ssl").unwrap().as_deref() == Some("on")
        });
        let write = |name: &str, pem: String| {
            let path = directory.path().join(name);
            fs::write(&path, pem).unwrap();
            path
        };
        Certified {
            root: write("root.pem", ours.pem()),
            other_root: write("other.pem", other.pem()),
            cluster,
            _directory: directory,
        }
    }

    fn conninfo(&self, host: &str, mode: &str, root: Option<&Path>) -> String {
        let root = root.map_or(String::new(), |root| {
            format!(" sslrootcert={}", root.display())
        });
        let port = self.cluster.port();
        format!("host={host} hostaddr=127.0.0.1 port={port} user=postgres sslmode={mode}{root}")
    }
}

/// To whoever runs the server, for his eyes alone.
fn give(data: &Path, name: &str, pem: &str) {
    let path = data.join(name);
    fs::write(&path, pem).unwrap();
    let owner = fs::metadata(data).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

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

/// Through the variables that every Postgres tool reads.
#[cfg(feature = "cli")]
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_how_far_the_server_has_proved_itself() {
    use support::command;
    let certified = Certified::start();
    let (root, other) = (certified.root.as_path(), certified.other_root.as_path());
    let table = [
        (
            "disable",
            None,
            Some(("fine", "does not leave this machine")),
        ),
        ("require", None, Some(("note", "nobody has verified"))),
        ("verify-ca", Some(root), Some(("fine", "of a known root"))),
        (
            "verify-full",
            Some(root),
            Some(("fine", "has proved its name")),
        ),
        ("verify-full", Some(other), None),
    ];
    for (mode, root, expected) in table {
        let mut doctor = command::bare();
        doctor
            .args(["doctor", "--json", "--lease", "30s"])
            .env("PGHOST", "localhost")
            .env("PGPORT", certified.cluster.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGSSLMODE", mode);
        if let Some(root) = root {
            doctor.env("PGSSLROOTCERT", root);
        }
        let answer = command::run(doctor);
        let findings = answer.objects();
        let Some((severity, words)) = expected else {
            assert!(
                answer.code == 4 && findings.len() == 1,
                "{mode}: {answer:?}"
            );
            assert_eq!(findings[0]["check"], "connection", "{mode}: {answer:?}");
            continue;
        };
        let tls = findings.iter().find(|finding| finding["check"] == "tls");
        let tls = tls.unwrap_or_else(|| panic!("{mode}: {answer:?}"));
        assert_eq!(tls["severity"], severity, "{mode}: {tls}");
        assert!(
            tls["what"].as_str().unwrap().contains(words),
            "{mode}: {tls}"
        );
    }
}
