//! How an elector connects and how long its lease is.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::campaign::Takeover;
use crate::engine::Timings;
use crate::error::{Error, Kind};
use crate::foreign::may_hang::{Oracle, Threads};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Hook = Oracle<Result<Credentials, BoxError>>;

/// What to do with work that could not be dropped when its lease ends: it blocks its thread instead of
/// waiting at an `.await`. Only after the session was lost; an orderly end waits for such work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Overrun {
    /// Log it as an error. The work may then overlap that of the next leader. The default.
    #[default]
    Report,
    /// End the process by SIGKILL to itself, at 0.95 of the lease: no handler, exit hook or core dump delays it,
    /// and it needs no thread but its own. Its last words go to standard error a little before, where that can take
    /// them. The first process of a container cannot kill itself: it aborts, and there a handler of SIGABRT or a core
    /// dump may delay it. Give such a container an init. A process that stood still for longer than that ends when it
    /// wakes. What the work has spawned by [`Term::spawn`](crate::Term::spawn) or
    /// [`Term::spawn_blocking`](crate::Term::spawn_blocking) counts too.
    Abort,
}

/// A user and a password, fresh for one connection. From [`Config::credentials`].
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// Instead of the connection string's user.
    pub user: Option<String>,
    /// Instead of the connection string's password.
    pub password: Option<String>,
}

impl Credentials {
    /// A password for the connection string's user.
    pub fn password(password: impl Into<String>) -> Self {
        Credentials {
            user: None,
            password: Some(password.into()),
        }
    }

    /// The same for another user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// How an [`Elector`](crate::Elector) connects, and its timings.
///
/// ```
/// use std::time::Duration;
///
/// let config = pg_leader::Config::new("postgres://app@db1,db2/app?target_session_attrs=read-write")
///     .lease(Duration::from_secs(3))
///     .grace(Duration::from_secs(30));
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) conninfo: String,
    pub(crate) environment: bool,
    pub(crate) lease: Duration,
    pub(crate) retry_interval: Duration,
    pub(crate) grace: Duration,
    pub(crate) overrun: Overrun,
    pub(crate) takeover: Takeover,
    pub(crate) install: bool,
    pub(crate) application_name: String,
    pub(crate) credentials: Option<Arc<Hook>>,
    /// Names whose addresses are known without asking anybody: a test's.
    pub(crate) names: Arc<BTreeMap<String, Vec<SocketAddr>>>,
    /// Shared by all that connect with this configuration or a clone of it.
    pub(crate) reading: Threads,
}

impl Config {
    /// Everything at its default. `conninfo` is a URL or a key-value string as libpq reads it, with one
    /// or several hosts; it is looked at when connecting. Several hosts are looked at again each
    /// [`retry_interval`](Config::retry_interval), and left for one on a newer timeline that accepts writes. The
    /// addresses of a name are called side by side, each for `connect_timeout` (5 s) at most. Name a host
    /// and a user, or let [`environment`](Config::environment) name them.
    pub fn new(conninfo: impl Into<String>) -> Self {
        Config {
            conninfo: conninfo.into(),
            environment: false,
            lease: Timings::DEFAULT_LEASE,
            retry_interval: Timings::DEFAULT_RETRY_INTERVAL,
            grace: Timings::DEFAULT_GRACE,
            overrun: Overrun::default(),
            takeover: Takeover::default(),
            install: true,
            application_name: "pg-leader".to_owned(),
            credentials: None,
            names: Arc::default(),
            reading: Threads::default(),
        }
    }

    /// Whether what the connection string leaves out comes from where Postgres tools look for it: a service
    /// (`service=`, `PGSERVICE`, `PGSERVICEFILE`), the variables `PGHOST`, `PGHOSTADDR`, `PGPORT`,
    /// `PGDATABASE`, `PGUSER`, `PGPASSWORD`, `PGOPTIONS`, `PGCONNECT_TIMEOUT`, `PGSSLMODE` and its family,
    /// `PGCHANNELBINDING`, `PGREQUIREAUTH`, `PGREQUIREPEER`, `PGGSSENCMODE`, `PGTARGETSESSIONATTRS` and
    /// `PGLOADBALANCEHOSTS`, a password file (`passfile=`, `PGPASSFILE`, `~/.pgpass`), and what is in
    /// `~/.postgresql`: `root.crt`, `postgresql.crt` with `postgresql.key`; at last the Unix socket of this machine, or `localhost`,
    /// and the system's user. They are looked at with every connect. Default false.
    ///
    /// ```
    /// let config = pg_leader::Config::new("dbname=app").environment(true);
    /// ```
    #[must_use]
    pub fn environment(mut self, environment: bool) -> Self {
        self.environment = environment;
        self
    }

    /// How long a leader may act on its last answered heartbeat. Default 1 s; from 100 ms to 1 h, in
    /// whole milliseconds. All other times of the protocol follow from it. Recorded with each term, so
    /// candidates of one election may differ in it; after an asynchronous failover of the database they
    /// had better not.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How often a follower that is not the successor tries, beside what it hears. Default 5 s, jittered
    /// by a quarter; at least a twentieth of the lease.
    #[must_use]
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.retry_interval = interval;
        self
    }

    /// How long an orderly end waits for the work of a [graceful](crate::Campaign::graceful) campaign to stop by
    /// itself before it drops it. Default 10 s, at most a day.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What to do with work that could not be dropped in time. Default [`Overrun::Report`].
    #[must_use]
    pub fn overrun(mut self, overrun: Overrun) -> Self {
        self.overrun = overrun;
        self
    }

    /// When to take over after a leader that vanished. Default [`Takeover::Autopsy`].
    #[must_use]
    pub fn takeover(mut self, takeover: Takeover) -> Self {
        self.takeover = takeover;
        self
    }

    /// Whether the first connect installs the schema when it is missing or old and the role may. Default true.
    /// A schema that is newer than this build is never touched, and no reconnect installs one: where the schema
    /// has vanished, the elector waits until it is back.
    ///
    /// Whoever restarts your process makes it connect for the first time again. Where the name may lead to an
    /// empty server then, say false here and run `pg-leader install` once: terms would begin again at 1.
    #[must_use]
    pub fn install(mut self, install: bool) -> Self {
        self.install = install;
        self
    }

    /// The name of the session in `pg_stat_activity`; the address of a candidate is appended. Default
    /// `pg-leader`.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// A hook that supplies credentials for each connection, for passwords that rotate. It is called
    /// before every connect, on a thread and a tokio runtime of its own, where it may block, and must answer
    /// within 5 s. What it spawns there goes on between the calls. Where it fails or panics, the connect
    /// fails and is tried again; where it hangs, on another thread, until 64 of them hang. `examples/tokens.rs` has
    /// tokens that live for minutes, as of a cloud's IAM.
    ///
    /// ```
    /// use pg_leader::{Config, Credentials};
    ///
    /// let config = Config::new("postgres://app@db/app").credentials(|| async {
    ///     let password = tokio::fs::read_to_string("/run/secrets/db").await?;
    ///     Ok(Credentials::password(password.trim()))
    /// });
    /// ```
    #[must_use]
    pub fn credentials<H, F>(mut self, hook: H) -> Self
    where
        H: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<Credentials, BoxError>> + Send + 'static,
    {
        self.credentials = Some(Arc::new(Oracle::new(hook)));
        self
    }

    /// Whether the connection string itself holds a password, which whoever sees the string knows then.
    ///
    /// # Errors
    ///
    /// When the connection string cannot be read.
    pub fn has_password(&self) -> Result<bool, Error> {
        crate::connection::holds_password(&self.conninfo)
    }

    pub(crate) fn timings(&self) -> Result<Timings, Error> {
        Timings::new(self.lease, self.retry_interval, self.grace)
            .map_err(|incoherent| Error::new(Kind::Settings(incoherent.to_string())))
    }
}

impl From<&str> for Config {
    fn from(conninfo: &str) -> Self {
        Config::new(conninfo)
    }
}

impl From<String> for Config {
    fn from(conninfo: String) -> Self {
        Config::new(conninfo)
    }
}

impl From<&String> for Config {
    fn from(conninfo: &String) -> Self {
        Config::new(conninfo)
    }
}

/// Without the connection string, which may hold a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("lease", &self.lease)
            .field("retry_interval", &self.retry_interval)
            .field("grace", &self.grace)
            .field("overrun", &self.overrun)
            .field("takeover", &self.takeover)
            .field("install", &self.install)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}
