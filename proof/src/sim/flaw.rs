//! Worlds that are broken on purpose: each invariant must find its own out.

use crate::postgres;

/// What is wrong with a world, beside what goes wrong in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A session's socket is closed while its work runs.
    SocketLetGoEarly,
    /// The number of a term is one more than that of the last one on record, whatever a failover has lost.
    NumberPlusOne,
    /// Two servers that are promoted to one timeline give out the same first number.
    NumberWithoutTime,
    /// What candidates have heard of raises the number, and is not waited for.
    RaisedWithoutWaiting,
    /// What a candidate has heard of is not recorded when it joins: heard by a loser and not by the winner.
    HeardNotRecorded,
    /// A transaction is admitted by its fence once and for all.
    FenceHoldsNothing,
    /// Work is dropped three leases after it should be, although nothing blocks.
    DroppedLate,
    /// Work is said to have stopped when it is told to.
    StopToldEarly,
    /// A term is current from the receipt of an answer, and for long.
    PulseFromReceipt,
    /// The server never notices that a client is gone.
    DeadSessionsStay,
    /// A session sends a heartbeat for each election.
    QueryEachElection,
    /// A heartbeat leaves something behind.
    HeartbeatWrites,
    /// A driver that panicked does not know what work runs.
    ForgetsWork,
    /// A process that loses its session gives up.
    LeavesOnError,
    /// A process is told nothing of other hosts that accept writes.
    BlindToOtherHosts,
    /// A process that sees a host on a newer timeline stays where it is.
    StaysBelow,
}

impl Flaw {
    /// What of it lies in the server.
    pub(super) fn of_postgres(self) -> Option<postgres::Flaw> {
        match self {
            Flaw::NumberPlusOne => Some(postgres::Flaw::NumberPlusOne),
            Flaw::NumberWithoutTime => Some(postgres::Flaw::NumberWithoutTime),
            Flaw::RaisedWithoutWaiting => Some(postgres::Flaw::RaisedWithoutWaiting),
            Flaw::HeardNotRecorded => Some(postgres::Flaw::HeardNotRecorded),
            _ => None,
        }
    }
}
