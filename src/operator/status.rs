//! What an operator sees: elections, candidates, past terms, what was asked.

use std::time::{Duration, SystemTime};

use super::words::{CandidatePlace, HeldLock, Lever, TermEnding};
use crate::engine::{ElectionState, WaitingFor};

/// How an election stands: a row of `pgleader.status`, and who is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ElectionStatus {
    /// The election.
    pub name: String,
    /// Vacant, recovering or leading.
    pub state: ElectionState,
    /// The newest term, 0 before the first.
    pub term: i64,
    /// The leader's address.
    pub address: Option<String>,
    /// The leader's backend.
    pub leader_pid: Option<i32>,
    /// When the election last changed, by the server's clock.
    pub since: SystemTime,
    /// The leader's lease.
    pub lease: Option<Duration>,
    /// The address of the follower that is next in line.
    pub successor: Option<String>,
    /// How many take part, the leader among them.
    pub candidates: u64,
    /// Why nobody leads, where it is known.
    pub waiting_for: Option<WaitingFor>,
    /// Whoever holds a lock of the election and takes no part in it.
    pub strangers: Vec<Stranger>,
    /// The fenced transactions that the next term waits for, while it does.
    pub fenced: Vec<Backend>,
    /// The database user that has suspended it; `None`: it is not suspended.
    pub suspended_by: Option<String>,
    /// The address of the candidate to which a transfer is under way.
    pub transfer_to: Option<String>,
    /// The addresses that are excluded.
    pub excluded: Vec<String>,
}

/// A live candidate of an election: a row of `pgleader.candidates`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CandidateStatus {
    /// Where it can be reached.
    pub address: String,
    /// Higher comes first when a term ends.
    pub priority: i32,
    /// What it is in the election.
    pub place: CandidatePlace,
    /// Whether its address is excluded.
    pub excluded: bool,
    /// Its lease.
    pub lease: Duration,
    /// Its backend.
    pub pid: i32,
    /// When it joined, by the server's clock.
    pub joined_at: SystemTime,
}

/// Somebody who holds a lock of an election and takes no part in it: a row of `pgleader.strangers`. Any role that can
/// connect may take any advisory lock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stranger {
    /// What is held, and so what is in the way.
    pub lock: HeldLock,
    /// Who holds it.
    pub backend: Backend,
}

/// A session of somebody, or a prepared transaction. What this role may not see is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Backend {
    /// Its process on the server. A prepared transaction has none.
    pub pid: Option<i32>,
    /// The database user.
    pub user: Option<String>,
    /// Its `application_name`.
    pub application: Option<String>,
    /// The address of its client; none on a Unix socket.
    pub client: Option<String>,
    /// When its transaction began, or was prepared.
    pub transaction_since: Option<SystemTime>,
    /// The identifier of the prepared transaction that it is.
    pub prepared: Option<String>,
}

/// A term: a row of `pgleader.history`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PastTerm {
    /// The election.
    pub election: String,
    /// The term's number.
    pub term: i64,
    /// Its leader's address.
    pub address: String,
    /// When it began.
    pub started_at: SystemTime,
    /// When its work had recovered.
    pub ready_at: Option<SystemTime>,
    /// When it ended; `None`: it goes on.
    pub ended_at: Option<SystemTime>,
    /// How it ended.
    pub ending: Option<TermEnding>,
    /// How many fenced transactions of earlier terms had to be ended before it could begin.
    pub fenced_ended: u64,
    /// The database user that ended it, where an operator did.
    pub by: Option<String>,
    /// What that one asked for.
    pub request: Option<Lever>,
    /// Why, in the words of that one.
    pub reason: Option<String>,
}

/// What an operator asked for: a row of `pgleader.requests`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct PastRequest {
    /// Its id, which the lever has answered.
    pub id: i64,
    /// The election.
    pub election: String,
    /// By which lever. A `resume` ends a suspension, an `include` an exclusion.
    pub request: Lever,
    /// The address that is excluded, or to which a transfer goes.
    pub address: Option<String>,
    /// The newest term when it was asked for.
    pub term: i64,
    /// The database user who asked.
    pub by: String,
    /// When, by the server's clock.
    pub at: SystemTime,
    /// Why, in the words of who asked.
    pub reason: Option<String>,
    /// The database user who took it back, where somebody did.
    pub ended_by: Option<String>,
    /// Why, in the words of that one.
    pub ended_reason: Option<String>,
    /// Since when it is no more in force; `None`: it is.
    pub ended_at: Option<SystemTime>,
}

/// What a lever has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LeverAnswer {
    /// The id of the request, as in [`PastRequest::id`]; `None`: nothing was asked for.
    pub request: Option<i64>,
    /// The term that ends by it; `None`: none does.
    pub term: Option<i64>,
}
