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
mod server;
mod sql;
mod standby;
mod template;

pub use binaries::Binaries;
pub use cluster::{Cluster, ClusterBuilder};

use std::path::PathBuf;

use crate::Elector;

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
}

/// Make the driver of this process panic: the thread that holds the session. All its terms end at once, it
/// starts again, and its candidacies go on.
pub fn panic_driver(elector: &Elector, at: PanicAt) {
    elector.panic_driver(at);
}

/// Why a cluster cannot be had, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// There are no server binaries.
    #[error(
        "no PostgreSQL server binaries (initdb, postgres) were found: install the server (Debian: apt-get \
         install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), or \
         name their directory in PG_LEADER_POSTGRES_BIN"
    )]
    NoBinaries,
    /// Run by root, and no other user to run the server as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` here"
    )]
    NoUser,
    /// A command failed.
    #[error("{command} failed: {output}")]
    Command {
        /// What was run.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The server did not come up or go down in time.
    #[error("the server did not become {awaited} within 60 s; the end of its log:\n{log}")]
    TimedOut {
        /// What was waited for.
        awaited: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A statement failed.
    #[error("{statement}: {message}")]
    Sql {
        /// What was run.
        statement: String,
        /// What the server said.
        message: String,
    },
    /// Nobody leads that election.
    #[error("nobody leads election \"{0}\"")]
    NoLeader(String),
    /// The process is no backend of this cluster.
    #[error("process {0} is no backend of this cluster")]
    NotABackend(i32),
    /// A file or process could not be handled.
    #[error("{path}: {source}")]
    Io {
        /// What was being handled.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::Io { path, source }
}
