//! A cluster that proves its name.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use pg_leader::testing::Cluster;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};

/// A cluster whose certificate is for `localhost` alone.
pub struct Certified {
    pub cluster: Cluster,
    pub root: PathBuf,
    /// It has not signed the certificate.
    pub other_root: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    other_issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// How a key is written down.
#[derive(Clone, Copy, Debug)]
pub enum KeyForm {
    Pkcs8,
    /// Of RSA, as older tools write it.
    Pkcs1,
    /// Of an elliptic curve, as older tools write it.
    Sec1,
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Certified {
    pub fn start() -> Certified {
        Certified::with(|_| ())
    }

    /// Its own certificate is over.
    pub fn expired() -> Certified {
        Certified::with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }

    fn with(edit: impl FnOnce(&mut CertificateParams)) -> Certified {
        let cluster = Cluster::start().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (ours, other) = (root(), root());
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        edit(&mut params);
        let certificate = params.signed_by(&key, &ours).unwrap();
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
            issuer: ours,
            other_issuer: other,
            directory,
        }
    }

    /// From now on whoever comes by TCP shows a certificate of his own, with his name in it.
    pub fn ask_for_certificates(&self) {
        let data = self.cluster.data_dir();
        give(&data, "root.crt", &self.issuer.pem());
        give(
            &data,
            "pg_hba.conf",
            "local all postgres trust\nhostssl all all 127.0.0.1/32 cert\n",
        );
        self.cluster
            .execute("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
            .unwrap();
        self.cluster.execute("SELECT pg_reload_conf()").unwrap();
        super::wait_until("it knows its root", || {
            self.cluster.query("SHOW ssl_ca_file").unwrap().as_deref() == Some("root.crt")
        });
    }

    /// The files of a certificate for that role, and of its key.
    pub fn certificate_of(&self, role: &str, form: KeyForm) -> [PathBuf; 2] {
        self.signed_for(role, form, &self.issuer)
    }

    /// The same by a root that the server does not know.
    pub fn forged_certificate_of(&self, role: &str) -> [PathBuf; 2] {
        self.signed_for(role, KeyForm::Pkcs8, &self.other_issuer)
    }

    fn signed_for(
        &self,
        role: &str,
        form: KeyForm,
        issuer: &CertifiedIssuer<'static, KeyPair>,
    ) -> [PathBuf; 2] {
        let (written, pkcs8) = match form {
            KeyForm::Pkcs8 => {
                let key = KeyPair::generate().unwrap().serialize_pem();
                (key.clone(), key)
            }
            KeyForm::Pkcs1 => both_forms(&["genrsa", "-traditional", "2048"]),
            KeyForm::Sec1 => both_forms(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]),
        };
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, role);
        let certificate = params
            .signed_by(&KeyPair::from_pem(&pkcs8).unwrap(), issuer)
            .unwrap();
        let write = |suffix: &str, pem: &str| {
            let path = self
                .directory
                .path()
                .join(format!("{role} {form:?}.{suffix}"));
            fs::write(&path, pem).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path
        };
        [write("crt", &certificate.pem()), write("key", &written)]
    }

    pub fn conninfo(&self, host: &str, mode: &str, root: Option<&Path>) -> String {
        let root = root.map_or(String::new(), |root| {
            format!(" sslrootcert={}", root.display())
        });
        let port = self.cluster.port();
        format!("host={host} hostaddr=127.0.0.1 port={port} user=postgres sslmode={mode}{root}")
    }
}

/// What that command of OpenSSL writes, and the same as PKCS#8.
fn both_forms(generate: &[&str]) -> (String, String) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl is there");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let written = openssl(generate);
    fs::write(&file, &written).unwrap();
    let pkcs8 = openssl(&["pkey", "-in", file.to_str().unwrap()]);
    (written, pkcs8)
}

/// To whoever runs the server, for his eyes alone.
fn give(data: &Path, name: &str, pem: &str) {
    let path = data.join(name);
    fs::write(&path, pem).unwrap();
    let owner = fs::metadata(data).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}
