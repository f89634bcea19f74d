//! What a run has written down: what every process did, what was done to them, what the database knows.
//!
//! Every stamp is in nanoseconds on the library's clock, which all processes of a machine share.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::record::{self, whole_lines};
pub use crate::record::{Entry, Work};

/// The file of the faults, in the directory of a run.
pub const FAULTS: &str = "faults.jsonl";
/// The file of the facts about the run.
pub const RUN: &str = "run.json";
/// The file of what the database knew in the end.
pub const DATABASE: &str = "database.json";
/// The directory with a file a process.
pub const PROCESSES: &str = "processes";
/// What the name of such a file ends in.
pub const RECORD: &str = "record";

/// What can be done to candidates and their server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A session is ended by `pg_terminate_backend`.
    KilledSession,
    /// The same of a process whose network is cut: it does not hear of it.
    KilledWhileCut,
    /// The same of a process that is stopped.
    KilledWhileStopped,
    /// `kill -9`.
    KilledProcess,
    /// SIGSTOP, and SIGCONT some time later.
    StoppedProcess,
    /// The proxy swallows all bytes.
    CutBoth,
    /// The proxy swallows the bytes to the server.
    CutToServer,
    /// The proxy swallows the bytes to the client.
    CutToClient,
    /// The proxy holds every piece back.
    SlowNetwork,
    /// The proxy resets the connections.
    ResetConnections,
    /// Every process of the server ends at once.
    ServerCrash,
    /// One backend is killed by `kill -9`: the server takes all others down.
    BackendCrash,
    /// The server is stopped in order and started again.
    ServerRestart,
    /// The primary is lost and its standby promoted.
    Promotion,
    /// What was promoted in its stead is lost too, and another standby of the same primary promoted: to the timeline of
    /// the first.
    SecondPromotion,
    /// The primary is away and its standby promoted; but not for ever.
    DiscardedPromotion,
    /// What was promoted is thrown away, and the primary is back as it was.
    Discard,
    /// An operator asks the leader to step down.
    StepDown,
    /// An operator hands over to this process.
    Transfer,
    /// An operator suspends an election, and resumes it.
    Suspend,
    /// An operator excludes this process, and includes it.
    Exclude,
    /// A candidate leaves an election and comes back with another priority.
    Priority,
    /// An operator ends the leader's session.
    Depose,
    /// The leader resigns.
    Resign,
    /// The leader's work returns an error.
    FailedWork,
    /// The application's runtime is blocked.
    BlockedRuntime,
    /// The thread that holds the session is stopped, and it alone.
    StoppedDriver,
    /// The same thread panics.
    DriverPanic,
    /// Standard error is a full pipe that nobody reads.
    FullStderr,
    /// Standard error is a pipe that nobody will ever read.
    ClosedStderr,
    /// The proxy of a Unix socket is killed by `kill -9`.
    KilledRelay,
    /// A candidate leaves an election and comes back.
    Leave,
    /// A process shuts down in order; another takes its place.
    Shutdown,
    /// All processors are busy with something else.
    BusyProcessors,
}

impl Kind {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Kind::KilledSession => "session killed",
            Kind::KilledWhileCut => "session killed behind a cut",
            Kind::KilledWhileStopped => "session killed under SIGSTOP",
            Kind::KilledProcess => "kill -9",
            Kind::StoppedProcess => "SIGSTOP",
            Kind::CutBoth => "network cut",
            Kind::CutToServer => "cut to server",
            Kind::CutToClient => "cut to client",
            Kind::SlowNetwork => "slow network",
            Kind::ResetConnections => "reset",
            Kind::ServerCrash => "server crash",
            Kind::BackendCrash => "backend crash",
            Kind::ServerRestart => "server restart",
            Kind::Promotion => "promotion",
            Kind::SecondPromotion => "second promotion",
            Kind::DiscardedPromotion => "promotion for a while",
            Kind::Discard => "promotion thrown away",
            Kind::StepDown => "step down",
            Kind::Transfer => "transfer",
            Kind::Suspend => "suspend",
            Kind::Exclude => "exclude",
            Kind::Priority => "priority",
            Kind::Depose => "depose",
            Kind::Resign => "resign",
            Kind::FailedWork => "work failed",
            Kind::BlockedRuntime => "runtime blocked",
            Kind::StoppedDriver => "driver stopped",
            Kind::DriverPanic => "driver panic",
            Kind::FullStderr => "stderr full",
            Kind::ClosedStderr => "stderr closed",
            Kind::KilledRelay => "socket proxy killed",
            Kind::Leave => "leave",
            Kind::Shutdown => "shutdown",
            Kind::BusyProcessors => "100 % CPU",
        }
    }

    /// Whether the server does not answer, or has no disk to write to, while it lasts.
    pub fn hits_server(self) -> bool {
        self.promotes()
            || matches!(
                self,
                Kind::ServerCrash | Kind::BackendCrash | Kind::ServerRestart
            )
    }

    /// Whether another server is the primary when it is over.
    pub fn promotes(self) -> bool {
        matches!(
            self,
            Kind::Promotion | Kind::SecondPromotion | Kind::DiscardedPromotion | Kind::Discard
        )
    }
}

/// A line of the log of faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of every line")]
pub enum Mark {
    /// A fault begins: the stamp is older than what it does. To a process, in an election, or to all.
    Begin {
        at: u64,
        id: u64,
        kind: Kind,
        process: Option<String>,
        election: Option<String>,
    },
    /// It is over: the stamp is younger, but for a stopped process, which stands still until here.
    End { at: u64, id: u64 },
    /// It could not be done; with its number where it had begun.
    Missed {
        at: u64,
        id: Option<u64>,
        why: String,
    },
    /// A process has ended.
    Gone {
        at: u64,
        process: String,
        status: String,
    },
    /// Who led an election and who was next in line, as its status said just before; nobody where it did not answer.
    Standing {
        at: u64,
        election: String,
        leader: Option<String>,
        successor: Option<String>,
    },
    /// The server's clock less the shared one, in nanoseconds.
    Clock { at: u64, offset: i64 },
}

/// The facts about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What the schedule was made of.
    pub seed: u64,
    /// How long faults came.
    pub seconds: u64,
    /// The lease, in milliseconds.
    pub lease_ms: u64,
    /// The retry interval, in milliseconds.
    pub retry_interval_ms: u64,
    /// The elections' names.
    pub elections: Vec<String>,
    /// Between two steps of one work, in milliseconds; 0 where nobody has said.
    #[serde(default)]
    pub pace_ms: u64,
    /// The server and the machine, in a line.
    pub description: String,
    /// When everything was in order at first.
    pub began: u64,
    /// When faults ended and everything had been given time.
    pub ended: u64,
}

/// A row of the table of terms. Times are the server's, in nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The election's name.
    pub election: String,
    /// The term's number.
    pub number: i64,
    /// The process that led.
    pub process: String,
    /// When it began.
    pub started: i64,
    /// When it was recorded that its work had stopped.
    pub vacated: Option<i64>,
    /// How it ended.
    pub ending: Option<String>,
    /// Whether its session was direct.
    pub direct: bool,
}

/// A row that a fenced transaction has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The row's number.
    pub sequence: i64,
    /// The election's name.
    pub election: String,
    /// The term that fenced it.
    pub term: i64,
    /// The transaction's number.
    pub transaction: u64,
    /// What was committed when it wrote, after it had passed the fence: `xmin:xmax:running`.
    pub snapshot: String,
}

/// What the database knew in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Every term that is on record.
    pub terms: Vec<Term>,
    /// Every fenced row.
    pub writes: Vec<Write>,
    /// Who took part before all were shut down: election and process.
    pub candidates: Vec<(String, String)>,
}

/// The log of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its address, which no other process has.
    pub name: String,
    /// What it has written, in that order.
    pub entries: Vec<Entry>,
    /// The lines of its own log that tell of an error of the server.
    pub refusals: Vec<String>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct History {
    /// The facts.
    pub run: Run,
    /// A log a process.
    pub processes: Vec<Process>,
    /// What was done to them.
    pub faults: Vec<Mark>,
    /// What the database knew.
    pub database: Database,
}

impl History {
    /// Of the run that has written to `directory`.
    ///
    /// # Errors
    ///
    /// When a file is missing, or has a line that is none.
    pub fn read(directory: &Path) -> Result<History> {
        let json = |name: &str| -> Result<String> {
            let path = directory.join(name);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
        };
        let mut processes = vec![];
        for file in fs::read_dir(directory.join(PROCESSES))? {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == RECORD)
            {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                processes.push(Process {
                    name: name.into_owned(),
                    entries: record::entries(&path)?,
                    refusals: refusals(&path.with_extension("stderr"))?,
                });
            }
        }
        processes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(History {
            run: serde_json::from_str(&json(RUN)?)?,
            processes,
            faults: lines(&directory.join(FAULTS))?,
            database: serde_json::from_str(&json(DATABASE)?)?,
        })
    }
}

fn refusals(path: &Path) -> Result<Vec<String>> {
    let said = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let said = String::from_utf8_lossy(&said);
    let tells = |line: &&str| line.contains("SQLSTATE");
    Ok(said.lines().filter(tells).map(ToOwned::to_owned).collect())
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| format!("{}:{}: {error}", path.display(), number + 1).into())
    };
    whole_lines(&text).enumerate().map(parse).collect()
}
