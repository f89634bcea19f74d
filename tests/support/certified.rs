//! A cluster that proves its name.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use pg_leader::testing::Cluster;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

/// A cluster whose certificate is for `localhost` alone.
pub struct Certified {
    pub cluster: Cluster,
    pub root: PathBuf,
    /// It has not signed the certificate.
    pub other_root: PathBuf,
    _directory: tempfile::TempDir,
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Certified {
    pub fn start() -> Certified {
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
        super::wait_until("TLS is on", || {
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

    pub fn conninfo(&self, host: &str, mode: &str, root: Option<&Path>) -> String {
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
