//! How an election stands, in the words that everybody reads.

use std::fmt;

use super::Bar;

/// What an election is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElectionState {
    /// This process cannot know now: it has no session, or has not read yet.
    #[default]
    Unknown,
    /// Nobody leads.
    Vacant,
    /// Somebody leads, and is still catching up.
    Recovering,
    /// Somebody leads.
    Leading,
}

impl ElectionState {
    /// The word, as SQL and JSON have it.
    pub fn as_str(self) -> &'static str {
        match self {
            ElectionState::Unknown => "unknown",
            ElectionState::Vacant => "vacant",
            ElectionState::Recovering => "recovering",
            ElectionState::Leading => "leading",
        }
    }
}

impl fmt::Display for ElectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What stands in the way of a process that would lead, beside another's leading; of an election, why nobody leads:
/// the same words stand in `waiting_for` of `pgleader.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitingFor {
    /// It was elected; the last term's work may still run.
    RefractoryPeriod,
    /// It was elected; fenced transactions of the last term are under way.
    FencedTransactions,
    /// The election is suspended: nobody leads until `pgleader.resume`.
    Resume,
    /// Its address is excluded: it does not lead until `pgleader.include`.
    Inclusion,
    /// An operator hands the next term to another candidate.
    Transfer,
    /// A live candidate with a higher priority is to be the successor.
    HigherPriority,
    /// Somebody who takes no part in the election holds a lock of it: the leadership, so that nobody can lead, the
    /// successor's place, so that nobody is next in line, or the one by which terms begin. `pgleader.strangers` says
    /// who.
    Stranger,
    /// This process has heard of a term that lies too far beyond this server's: it waits for the server that it
    /// knew, or to be restarted.
    AnotherServer,
    /// Two hosts of the connection string accept writes, and the leadership is held on the other one: nobody
    /// leads here until that is over.
    AnotherHost,
    /// This process has no session, because the schema `pgleader` has vanished or cannot be used: the log says
    /// why. Not in `pgleader.status`, which is a part of it.
    Schema,
    /// The server refuses what this process asks of this election, and of no other: [`Standing::refusal`] and the log
    /// say why. It tries again, less and less often.
    ///
    /// [`Standing::refusal`]: crate::Standing::refusal
    Refusal,
    /// The server's lock table has no room for one more lock: see `max_locks_per_transaction`. It tries again, less and
    /// less often.
    LockTable,
    /// Nobody takes part who may lead. In `pgleader.status` alone: who reads it of himself takes part.
    Candidates,
    /// Something that only a later schema knows than this build.
    Unknown,
}

impl WaitingFor {
    pub(crate) const ALL: &[WaitingFor] = &[
        WaitingFor::RefractoryPeriod,
        WaitingFor::FencedTransactions,
        WaitingFor::Resume,
        WaitingFor::Inclusion,
        WaitingFor::Transfer,
        WaitingFor::HigherPriority,
        WaitingFor::Stranger,
        WaitingFor::AnotherServer,
        WaitingFor::AnotherHost,
        WaitingFor::Schema,
        WaitingFor::Refusal,
        WaitingFor::LockTable,
        WaitingFor::Candidates,
        WaitingFor::Unknown,
    ];

    /// The word, as SQL and JSON have it.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitingFor::RefractoryPeriod => "refractory period",
            WaitingFor::FencedTransactions => "fenced transactions",
            WaitingFor::Resume => "resume",
            WaitingFor::Inclusion => "inclusion",
            WaitingFor::Transfer => "transfer",
            WaitingFor::HigherPriority => "higher priority",
            WaitingFor::Stranger => "stranger",
            WaitingFor::AnotherServer => "another server",
            WaitingFor::AnotherHost => "another host",
            WaitingFor::Schema => "schema",
            WaitingFor::Refusal => "refusal",
            WaitingFor::LockTable => "lock table",
            WaitingFor::Candidates => "candidates",
            WaitingFor::Unknown => "unknown",
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Bar {
    /// What lifts it.
    pub(crate) fn waiting_for(self) -> Option<WaitingFor> {
        match self {
            Bar::Suspended => Some(WaitingFor::Resume),
            Bar::Excluded => Some(WaitingFor::Inclusion),
            Bar::Transfer => Some(WaitingFor::Transfer),
            Bar::Outranked => Some(WaitingFor::HigherPriority),
            Bar::Beyond => Some(WaitingFor::AnotherServer),
            Bar::Elsewhere => Some(WaitingFor::AnotherHost),
            Bar::Unknown => None,
        }
    }
}
