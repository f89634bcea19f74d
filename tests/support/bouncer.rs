//! A pooler between a candidate and its server.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use pg_leader::{Config, Elector};

use super::cluster::Server;

/// PgBouncer, where Debian or the PATH has it.
pub struct Bouncer {
    child: Child,
    port: u16,
    user: String,
    _directory: tempfile::TempDir,
}

/// Of the role that the cluster's URL is of.
fn login(cluster: &impl Server) -> (String, Option<String>) {
    let config: tokio_postgres::Config = cluster.url().parse().unwrap();
    let password = config.get_password().map(String::from_utf8_lossy);
    (
        config.get_user().unwrap().to_owned(),
        password.map(|password| password.into_owned()),
    )
}

impl Bouncer {
    /// It lets everybody in, and is that role towards the server.
    pub fn start(cluster: &impl Server, settings: &str) -> Option<Bouncer> {
        let directory = tempfile::tempdir().unwrap();
        // Run by root it must become somebody else, who must be able to read this.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let file = directory.path().join("pgbouncer.ini");
        let server = cluster.cluster().port();
        let (user, password) = login(cluster);
        let password = password.map(|password| format!("password='{password}'"));
        let password = password.unwrap_or_default();
        let text = format!(
            "[databases]\npostgres = user={user} {password} host=127.0.0.1 port={server}\n\
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
            user,
            _directory: directory,
        };
        super::wait_until("pgbouncer answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(bouncer)
    }

    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/postgres", self.user, self.port)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Make what a candidate's session asks for at its start the role's defaults: a pooler that drops the request
/// looks as if it had passed it on.
pub async fn let_defaults_fit(cluster: &impl Server, config: impl Fn(&str) -> Config) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    let startup = tokio::task::spawn_blocking(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        client.read_exact(&mut length).unwrap();
        let mut message = vec![0; u32::from_be_bytes(length) as usize - 4];
        client.read_exact(&mut message).unwrap();
        message
    });
    let refused = Elector::connect(config(&url)).await;
    assert!(refused.is_err(), "nobody has answered");
    let startup = startup.await.unwrap();
    let startup = String::from_utf8_lossy(&startup[4..]).into_owned();
    let mut words = startup.split('\0');
    let options = words.find(|word| *word == "options").and(words.next());
    let options = options.expect("a startup with options");
    for option in options.split(" -c ").filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').expect("a setting");
        let value = value.replace("\\ ", " ");
        // As a list where it is one.
        let value = match name.trim_start_matches("-c ") {
            "search_path" => value,
            _ => format!("'{value}'"),
        };
        let name = name.trim_start_matches("-c ");
        let (user, _) = login(cluster);
        cluster
            .cluster()
            .execute(&format!("ALTER ROLE {user} SET {name} = {value}"))
            .unwrap();
    }
}
