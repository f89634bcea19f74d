//! A cluster, from its data directory to the removal of that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::ports::free_port;
use super::server::{self, User};
use super::template::Template;
use super::{Binaries, ClusterError, files, io, sql};

const PREFIX: &str = "pg-leader-";
static LAST: AtomicU32 = AtomicU32::new(0);

/// A private PostgreSQL cluster. Stopped and removed when dropped. Its superuser is `postgres`, without a
/// password; its database is `postgres`.
#[derive(Debug)]
pub struct Cluster {
    pub(super) binaries: Binaries,
    pub(super) user: Option<User>,
    directory: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
}

/// How a cluster shall be. From [`Cluster::builder`].
///
/// ```no_run
/// use pg_leader::testing::Cluster;
///
/// let cluster = Cluster::builder().setting("max_connections", "8").start()?;
/// let standby = cluster.standby()?;
/// cluster.stop_immediate()?;
/// standby.promote()?;
/// # Ok::<(), pg_leader::testing::ClusterError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClusterBuilder {
    binaries: Option<Binaries>,
    initdb: Vec<String>,
    settings: Vec<(String, String)>,
}

impl ClusterBuilder {
    /// A line of `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An argument of `initdb`, such as `--encoding=LATIN1` or `--data-checksums`. By default the databases are
    /// of `UTF8` and the locale `C`; a later argument goes before an earlier one.
    #[must_use]
    pub fn initdb(mut self, argument: &str) -> Self {
        self.initdb.push(argument.to_owned());
        self
    }

    /// The server's binaries; by default those of [`Binaries::find`].
    #[must_use]
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Make the cluster and start it. The first one with these binaries and arguments of `initdb` takes a second or
    /// two; later ones are copied, see the [module](super).
    ///
    /// # Errors
    ///
    /// When there are no binaries, or the server does not come up: the error has the end of its log.
    pub fn start(self) -> Result<Cluster, ClusterError> {
        sweep();
        let binaries = self.binaries.map_or_else(Binaries::find, Ok)?;
        let template = Template::usual(&binaries, &self.initdb);
        start(binaries, &self.initdb, &self.settings, template.as_ref())
    }
}

/// With a template from which it may be copied.
pub(super) fn start(
    binaries: Binaries,
    arguments: &[String],
    settings: &[(String, String)],
    template: Option<&Template>,
) -> Result<Cluster, ClusterError> {
    let mut cluster = Cluster::prepare(binaries)?;
    let initdb = || cluster.initdb(arguments);
    let copied_from = match template {
        Some(template) => template
            .fill(&cluster.data_dir(), cluster.user, initdb)?
            .then_some(template),
        None => initdb().map(|()| None)?,
    };
    cluster.configure(settings)?;
    let started = cluster.start_again();
    let Some((template, error)) = copied_from.zip(started.as_ref().err()) else {
        return started.map(|()| cluster);
    };
    // It may be the template's fault, or the settings', or its port was taken meanwhile.
    tracing::debug!(%error, "a copied cluster does not start");
    let data = cluster.data_dir();
    fs::remove_dir_all(&data).map_err(io(&data))?;
    cluster.port = free_port()?;
    cluster.initdb(arguments)?;
    cluster.configure(settings)?;
    cluster.start_again()?;
    template.discard();
    Ok(cluster)
}

impl Cluster {
    /// A cluster with default settings.
    ///
    /// # Errors
    ///
    /// As [`ClusterBuilder::start`].
    pub fn start() -> Result<Cluster, ClusterError> {
        Cluster::builder().start()
    }

    /// A cluster with settings of your own.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// An empty directory, owned by whoever shall run the server, and a free port.
    pub(super) fn prepare(binaries: Binaries) -> Result<Cluster, ClusterError> {
        let user = User::unprivileged()?;
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).map_err(io(&directory))?;
        let port = free_port()?;
        // From here Drop removes the directory.
        let cluster = Cluster {
            binaries,
            user,
            directory,
            port,
            server: Mutex::new(None),
        };
        files::give_away(&cluster.directory, cluster.user)?;
        Ok(cluster)
    }

    pub(super) fn initdb(&self, arguments: &[String]) -> Result<(), ClusterError> {
        let initdb = self.binaries.directory().join("initdb");
        let output = User::command(self.user, &initdb)
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .arg("--locale=C")
            .args(arguments)
            .arg("-D")
            .arg(self.data_dir())
            .output()
            .map_err(io(&initdb))?;
        if output.status.success() {
            return Ok(());
        }
        Err(ClusterError::Command {
            command: "initdb".to_owned(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    pub(super) fn configure(&self, settings: &[(String, String)]) -> Result<(), ClusterError> {
        let path = self.data_dir().join("postgresql.conf");
        let mut text = fs::read_to_string(&path).map_err(io(&path))?;
        let socket_dir = self.socket_dir().display().to_string();
        let port = self.port.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &socket_dir),
            // A crash of the server's processes loses nothing by it, a crash of the machine may.
            ("fsync", "off"),
            ("wal_level", "replica"),
            ("max_wal_senders", "5"),
            ("hot_standby", "on"),
            ("shared_buffers", "16MB"),
            ("logging_collector", "off"),
        ];
        let given = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.into_iter().chain(given) {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        fs::write(&path, text).map_err(io(&path))
    }

    /// A URL for TCP on the loopback.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A connection string for the Unix socket.
    pub fn socket_conninfo(&self) -> String {
        let directory = self.socket_dir().display();
        format!(
            "host={directory} port={} user=postgres dbname=postgres",
            self.port
        )
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.directory
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The major version of the server, such as 15.
    pub fn version(&self) -> u32 {
        self.binaries.version()
    }

    /// The server's binaries.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        server::tail(&self.data_dir())
    }

    /// The server's first process, while it runs.
    pub fn postmaster_pid(&self) -> Option<i32> {
        let server = self
            .server
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        server
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok())
    }

    /// Start the server again after a stop or a crash.
    ///
    /// # Errors
    ///
    /// When it does not come up within a minute.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        let child = server::start(&self.binaries, self.user, &self.data_dir())?;
        *self
            .server
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(child);
        Ok(())
    }

    /// Stop in order: sessions are ended, everything is written (`pg_ctl stop -m fast`).
    ///
    /// # Errors
    ///
    /// When it does not stop within a minute.
    pub fn stop_fast(&self) -> Result<(), ClusterError> {
        self.stop(Signal::INT)
    }

    /// Crash: every process of the server ends at once (`pg_ctl stop -m immediate`).
    ///
    /// # Errors
    ///
    /// When it does not stop within a minute.
    pub fn stop_immediate(&self) -> Result<(), ClusterError> {
        self.stop(Signal::QUIT)
    }

    /// `kill -9` of the server's first process; its backends notice and end. Returns when all are gone.
    ///
    /// # Errors
    ///
    /// When they do not end within a minute.
    pub fn kill_postmaster(&self) -> Result<(), ClusterError> {
        let backends = self
            .postmaster_pid()
            .map(server::children)
            .unwrap_or_default();
        self.stop(Signal::KILL)?;
        // Without its postmaster a backend that waits for its client ends by itself.
        let gone = || !backends.iter().any(|pid| server::is_alive(*pid));
        server::wait_until(&self.data_dir(), "gone", gone)
    }

    fn stop(&self, how: Signal) -> Result<(), ClusterError> {
        let mut server = self
            .server
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(mut child) = server.take() else {
            return Ok(());
        };
        server::signal(i32::try_from(child.id()).unwrap_or(0), how);
        let stopped = server::wait_until(&self.data_dir(), "stopped", || {
            matches!(child.try_wait(), Ok(Some(_)))
        });
        if stopped.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        stopped
    }

    /// `kill -9` of one backend: the server takes all others down and starts again by itself.
    ///
    /// # Errors
    ///
    /// When `pid` is no backend of this cluster.
    pub fn kill_backend(&self, pid: i32) -> Result<(), ClusterError> {
        let ours = self
            .postmaster_pid()
            .is_some_and(|parent| server::children(parent).contains(&pid));
        if !ours {
            return Err(ClusterError::NotABackend(pid));
        }
        server::signal(pid, Signal::KILL);
        Ok(())
    }

    /// The session that holds the leadership of an election.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub fn leader_pid(&self, election: &str) -> Result<Option<i32>, ClusterError> {
        let name = election.replace('\'', "''");
        let pid = self.query(&format!(
            "SELECT l.pid FROM pgleader.lock AS l JOIN pgleader.election AS e ON e.id = l.election_id \
             WHERE l.kind = 'pgleader.election'::regclass AND l.granted AND e.name = '{name}'"
        ))?;
        Ok(pid.and_then(|pid| pid.parse().ok()))
    }

    /// End the session that leads an election, as an operator would: a failover begins.
    ///
    /// # Errors
    ///
    /// When nobody leads, or the server cannot be asked.
    pub fn terminate_leader(&self, election: &str) -> Result<(), ClusterError> {
        let pid = self.leader_pid(election)?;
        let pid = pid.ok_or_else(|| ClusterError::NoLeader(election.to_owned()))?;
        self.execute(&format!("SELECT pg_terminate_backend({pid})"))
    }

    /// Run statements as the superuser.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses one.
    pub fn execute(&self, statements: &str) -> Result<(), ClusterError> {
        self.query(statements).map(|_| ())
    }

    /// The first column of the first row, as text.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the statement.
    pub fn query(&self, statement: &str) -> Result<Option<String>, ClusterError> {
        sql::run(&self.socket_conninfo(), statement)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.stop_immediate();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Remove what processes that were killed left behind.
fn sweep() {
    let entries = fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse().ok());
        let Some(owner) = owner.filter(|owner| !server::is_alive(*owner)) else {
            continue;
        };
        let data = entry.path().join("data");
        let postmaster = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = postmaster
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
        {
            // The number may belong to another process by now: a postmaster works in its data directory.
            if fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|directory| directory == data) {
                tracing::warn!(
                    owner,
                    pid,
                    "stopping a cluster that a killed process left behind"
                );
                server::signal(pid, Signal::QUIT);
                let _ = server::wait_until(&data, "stopped", || !server::is_alive(pid));
            }
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}
