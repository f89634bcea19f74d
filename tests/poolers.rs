//! What stands between a candidate and the server: poolers are found out and refused, proxies are told from
//! direct connections, and an engine that takes no locks is no server for a leader. Settles row 5 of
//! docs/known-faults.md.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use pg_leader::testing::Cluster;
use pg_leader::{Elector, Error};
use support::config;

/// PgBouncer, where Debian or the PATH has it.
struct Bouncer {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Bouncer {
    fn start(cluster: &Cluster, settings: &str) -> Option<Bouncer> {
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
            support::skipped(
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
        support::wait_until("pgbouncer answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(bouncer)
    }

    async fn refusal(&self) -> Error {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        Elector::connect(config(&url)).await.unwrap_err()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_refused_whether_it_rejects_or_swallows_startup_options() {
    let cluster = Cluster::start().unwrap();
    for mode in ["transaction", "session"] {
        for ignored in ["", "ignore_startup_parameters = options,extra_float_digits"] {
            let Some(bouncer) = Bouncer::start(&cluster, &format!("pool_mode = {mode}\n{ignored}"))
            else {
                return;
            };
            let error = bouncer.refusal().await;
            assert!(
                error.is_pooler() && error.to_string().contains("connect directly"),
                "{mode} {ignored}: {error}"
            );
        }
    }
    let schema = cluster.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgleader'");
    assert_eq!(
        schema.unwrap().as_deref(),
        Some("0"),
        "it wrote through a pooler"
    );
}

/// Some compatible engines accept the call, say yes, and lock nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_takes_no_locks_is_refused() {
    let cluster = Cluster::builder()
        .setting("allow_system_table_mods", "on")
        .start()
        .unwrap();
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pg_catalog.pg_try_advisory_lock(bigint) RETURNS boolean \
             LANGUAGE sql AS 'SELECT true'",
        )
        .unwrap();
    let error = Elector::connect(config(&cluster.url())).await.unwrap_err();
    assert!(
        error.is_unfit_server() && error.to_string().contains("pg_locks"),
        "{error}"
    );
}

/// A setting that the server does not know is the user's affair, unless it is one of ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_setting_of_the_user_is_not_taken_for_an_old_server() {
    let cluster = Cluster::start().unwrap();
    let url = format!("{}?options=-c%20no_such_setting%3D1", cluster.url());
    let error = Elector::connect(config(&url)).await.unwrap_err();
    assert!(
        error.is_configuration() && error.to_string().contains("no_such_setting"),
        "{error}"
    );
}
