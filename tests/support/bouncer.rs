//! A pooler between a candidate and its server.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use pg_leader::testing::Cluster;

/// PgBouncer, where Debian or the PATH has it.
pub struct Bouncer {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Bouncer {
    pub fn start(cluster: &Cluster, settings: &str) -> Option<Bouncer> {
        let directory = tempfile::tempdir().unwrap();
        // Run by root it must become somebody else, who must be able to read this.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = directory.path().join("pgbouncer.ini");
        let server = cluster.port();
        let text = format!(
            "[databases]\npostgres = user=postgres host=127.0.0.1 port={server}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             unix_socket_dir =\n{settings}\n"
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("pgbouncer");
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            assert!(
                std::env::var_os("PG_LEADER_REQUIRE_PGBOUNCER").is_none(),
                "pgbouncer is required and not there"
            );
            super::skipped(
                "poolers",
                "pgbouncer is not on the PATH (Debian: apt-get install pgbouncer)",
            );
            return None;
        };
        let bouncer = Bouncer {
            child,
            port,
            _directory: directory,
        };
        super::wait_until("pgbouncer answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(bouncer)
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
