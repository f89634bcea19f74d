//! A throw-away PostgreSQL cluster, to test a failover of your own.
//!
//! ```no_run
//! use pg_leader::testing::Cluster;
//!
//! let cluster = Cluster::start()?;
//! println!("connect to {}", cluster.url());
//! cluster.terminate_leader("billing")?; // its session is gone: a failover begins
//! # Ok::<(), pg_leader::testing::ClusterError>(())
//! ```
//!
//! A cluster is private: a data directory and a Unix socket in a temporary directory, and a free loopback
//! port. It needs the server's binaries, which it finds in `PG_LEADER_POSTGRES_BIN`, on `PATH` or where
//! the distributions and Homebrew put them. Run by root, the server runs as `postgres` or `nobody`, since
//! it refuses to run as root. When a `Cluster` is dropped, also by a panic, the server is stopped and its
//! directory removed; what a process that was killed left behind is removed by the next one that starts a
//! cluster. All methods block; they may be called inside a tokio runtime too.
//!
//! What `initdb` makes is kept, and copied for the next cluster with the same binaries and arguments: in
//! `pg-leader-templates-UID` in the temporary directory, about 40 MB for each. It may be removed at any time, is made
//! anew after a boot, and is not used where anything is wrong with it. Each cluster has a system identifier of its
//! own all the same.

mod binaries;
mod cluster;
mod files;
mod identity;
mod ports;
mod server;
mod sql;
mod standby;
mod template;

pub use binaries::Binaries;
pub use cluster::{Cluster, ClusterBuilder};

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Config, Elector};

/// Where [`panic_driver`] makes the driver panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanicAt {
    /// The next command of a handle or of the work has been taken, and nothing done about it.
    Command,
    /// The next answer of the database has come, and nothing come of it.
    Answer,
    /// The next action of the state machine is done, and not the one after it.
    Action,
    /// The next term has begun, and its work is about to start.
    Start,
    /// The rules of the election have taken so many more steps, and are half-way through one: their state is void.
    Rules(u32),
}

/// Make the driver of this process panic: the thread that holds the session. All its terms end at once, it
/// starts again, and its candidacies go on.
pub fn panic_driver(elector: &Elector, at: PanicAt) {
    elector.panic_driver(at);
}

/// Let a name in the connection string lead to these addresses, in this order, whatever the resolver knows of it.
#[must_use]
pub fn with_name(mut config: Config, name: &str, addresses: &[SocketAddr]) -> Config {
    Arc::make_mut(&mut config.names).insert(name.to_owned(), addresses.to_vec());
    config
}

/// Why a cluster cannot be had, or did not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClusterError {
    /// There are no server binaries.
    NoBinaries,
    /// Run by root, and no other user to run the server as.
    NoUser,
    /// A command failed.
    Command {
        /// What was run.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The server did not come up or go down in time.
    TimedOut {
        /// What was waited for.
        awaited: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A statement failed.
    Sql {
        /// What was run.
        statement: String,
        /// What the server said.
        message: String,
    },
    /// Nobody leads that election.
    NoLeader(String),
    /// The process is no backend of this cluster.
    NotABackend(i32),
    /// A file or process could not be handled.
    Io {
        /// What was being handled.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterError::NoBinaries => f.write_str("no PostgreSQL server binaries (initdb, postgres) were found: install the server (Debian: apt-get \
             install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), or \
             name their directory in PG_LEADER_POSTGRES_BIN"),
            ClusterError::NoUser => f.write_str("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` here"),
            ClusterError::Command { command, output } => write!(f, "{command} failed: {output}"),
            ClusterError::TimedOut { awaited, log } => write!(f, "the server did not become {awaited} within 60 s; the end of its log:\n{log}"),
            ClusterError::Sql { statement, message } => write!(f, "{statement}: {message}"),
            ClusterError::NoLeader(what) => write!(f, "nobody leads election \"{what}\""),
            ClusterError::NotABackend(what) => write!(f, "process {what} is no backend of this cluster"),
            ClusterError::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for ClusterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClusterError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::Io { path, source }
}
