//! pgpool-II between a candidate and its server, set to detach a server that shuts down.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::cluster::Server;

pub struct Pgpool {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Pgpool {
    /// `None` where it is not installed.
    pub async fn start(cluster: &impl Server) -> Option<Pgpool> {
        let directory = tempfile::tempdir().unwrap();
        let [port, pcp_port] = [0, 0].map(|any| {
            let listener = TcpListener::bind(("127.0.0.1", any)).unwrap();
            listener.local_addr().unwrap().port()
        });
        let path = directory.path().display();
        let settings = format!(
            "backend_clustering_mode = 'streaming_replication'\n\
             listen_addresses = '127.0.0.1'\nport = {port}\nsocket_dir = '{path}'\n\
             pcp_port = {pcp_port}\npcp_socket_dir = '{path}'\nlogdir = '{path}'\n\
             pid_file_name = '{path}/pid'\nnum_init_children = 8\nenable_shared_relcache = off\n\
             backend_hostname0 = '127.0.0.1'\nbackend_port0 = {}\nbackend_flag0 = 'ALLOW_TO_FAILOVER'\n\
             sr_check_user = 'postgres'\nsr_check_period = 1\nhealth_check_period = 0\n\
             failover_on_backend_shutdown = on\nfailover_on_backend_error = off\n\
             allow_clear_text_frontend_auth = on\n",
            cluster.cluster().port()
        );
        let file = |name: &str| directory.path().join(name);
        fs::write(file("pgpool.conf"), settings).unwrap();
        fs::write(file("pcp.conf"), "").unwrap();
        fs::write(file("hba.conf"), "").unwrap();
        let log = File::create(file("log")).unwrap();
        let child = Command::new("pgpool")
            .args(["-n", "-D", "-f"])
            .arg(file("pgpool.conf"))
            .arg("-F")
            .arg(file("pcp.conf"))
            .arg("-a")
            .arg(file("hba.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let Ok(child) = child else {
            assert!(
                std::env::var_os("PG_LEADER_REQUIRE_PGPOOL").is_none(),
                "pgpool is required and not there"
            );
            super::skipped(
                "pgpool",
                "pgpool is not on the PATH (Debian: apt-get install pgpool2)",
            );
            return None;
        };
        let pgpool = Pgpool {
            child,
            // It asks for the password itself, and hands it on.
            url: cluster.url().replace(
                &format!(":{}/", cluster.cluster().port()),
                &format!(":{port}/"),
            ),
            _directory: directory,
        };
        let deadline = std::time::Instant::now() + super::CEILING;
        while pgpool.node().await.as_deref() != Some("up primary") {
            assert!(
                std::time::Instant::now() < deadline,
                "pgpool finds no primary"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some(pgpool)
    }

    /// That of the cluster, by way of it.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// What it thinks of the server: `up primary` while it is attached. `None` where it lets nobody in.
    pub async fn node(&self) -> Option<String> {
        let config: tokio_postgres::Config = self.url().parse().unwrap();
        let (client, connection) = config.connect(NoTls).await.ok()?;
        tokio::spawn(connection);
        let nodes = client.simple_query("SHOW pool_nodes").await.ok()?;
        nodes.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some(format!("{} {}", row.get("status")?, row.get("role")?))
            }
            _ => None,
        })
    }

    #[track_caller]
    pub fn assert_attached(node: Option<String>) {
        assert_eq!(
            node.as_deref(),
            Some("up primary"),
            "pgpool has detached the primary, which is well"
        );
    }
}

impl Drop for Pgpool {
    fn drop(&mut self) {
        // Killed, it would leave its children behind.
        let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
        let _ = self.child.wait();
    }
}
