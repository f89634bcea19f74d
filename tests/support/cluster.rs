//! A cluster as a service has one: who connects to it by its URL is an ordinary role, and must know a password.

use std::fs;
use std::ops::Deref;

use pg_leader::testing::{self, ClusterBuilder, ClusterError};

/// It owns nothing but what it makes, and may make a schema.
pub const ROLE: &str = "ordinary";
const PASSWORD: &str = "s3cr@t: 1/2";
const ESCAPED: &str = "s3cr%40t%3A%201%2F2";

/// A cluster of the library's, by the URL of an ordinary role under SCRAM. Its own statements are a superuser's all
/// the same, by the Unix socket; a file of tests that needs a superuser's URL takes the library's cluster.
pub struct Cluster(testing::Cluster);

impl Deref for Cluster {
    type Target = testing::Cluster;

    fn deref(&self) -> &testing::Cluster {
        &self.0
    }
}

impl Cluster {
    pub fn start() -> Result<Cluster, ClusterError> {
        Cluster::builder().start()
    }

    pub fn builder() -> Builder {
        Builder(testing::Cluster::builder())
    }

    /// Hides the superuser's.
    pub fn url(&self) -> String {
        url_at(&format!("127.0.0.1:{}", self.port()))
    }

    /// Hides the superuser's. The server trusts whoever reaches its socket.
    pub fn socket_conninfo(&self) -> String {
        socket_conninfo_at(&self.socket_dir().display(), self.port())
    }

    pub fn standby(&self) -> Result<Cluster, ClusterError> {
        // Its access rules and its roles are copies.
        self.0.standby().map(Cluster)
    }
}

/// The URL of the ordinary role, at one host and port or at several.
pub fn url_at(hosts: &str) -> String {
    format!("postgres://{ROLE}:{ESCAPED}@{hosts}/postgres")
}

/// The same for the directory of a Unix socket.
pub fn socket_conninfo_at(directory: &dyn std::fmt::Display, port: u16) -> String {
    format!("host={directory} port={port} user={ROLE} dbname=postgres")
}

pub struct Builder(ClusterBuilder);

impl Builder {
    #[must_use]
    pub fn setting(self, name: &str, value: &str) -> Builder {
        Builder(self.0.setting(name, value))
    }

    /// Every commit reaches the disk.
    #[must_use]
    pub fn durable(self) -> Builder {
        self.setting("fsync", "on")
    }

    /// Not UTF8.
    #[must_use]
    pub fn encoding(self, encoding: &str) -> Builder {
        self.initdb(&format!("--encoding={encoding}"))
    }

    #[must_use]
    pub fn initdb(self, argument: &str) -> Builder {
        Builder(self.0.initdb(argument))
    }

    pub fn start(self) -> Result<Cluster, ClusterError> {
        let cluster = self.0.start()?;
        let access = cluster.data_dir().join("pg_hba.conf");
        let rules = fs::read_to_string(&access).expect("a server has access rules");
        let strict = format!("host all {ROLE} all scram-sha-256\n{rules}");
        fs::write(&access, strict).expect("the access rules are this test's");
        // The tables that tests make for their work are the superuser's.
        let loaded = "SELECT pg_conf_load_time()::text";
        let before = cluster.query(&format!(
            "{loaded}; CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; \
             GRANT CREATE ON DATABASE postgres TO {ROLE}; GRANT CREATE ON SCHEMA public TO {ROLE}; \
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {ROLE}; SELECT pg_reload_conf()"
        ))?;
        super::wait_until("a password is asked for", || {
            cluster.query(loaded).expect("the server is there") != before
        });
        Ok(Cluster(cluster))
    }
}

/// A cluster, and the URL that its tests use by default.
pub trait Server {
    fn url(&self) -> String;
    fn cluster(&self) -> &testing::Cluster;
}

impl Server for Cluster {
    fn url(&self) -> String {
        Cluster::url(self)
    }

    fn cluster(&self) -> &testing::Cluster {
        self
    }
}

impl Server for testing::Cluster {
    fn url(&self) -> String {
        testing::Cluster::url(self)
    }

    fn cluster(&self) -> &testing::Cluster {
        self
    }
}

/// The URL of a role that a test has made, without a password.
pub fn url_of(cluster: &testing::Cluster, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/postgres", cluster.port())
}
