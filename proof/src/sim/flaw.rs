//! Worlds that are broken on purpose: each invariant must find its own out.

use crate::engine::{Answer, Campaigned, Id, Told};
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
    /// A process that has tried in vain so often tries no more.
    StopsTrying,
    /// A process retries ten times as seldom as it should.
    RetriesSeldom,
    /// A process that was refused office asks no more, and keeps the lock.
    WaitsForEver,
    /// A process tries one election at a time, each in its turn.
    OneAtATime,
    /// Whoever takes over after an ending loses its session as soon as its work has begun.
    Stumbles,
    /// A process tries for nothing while things go wrong.
    Sulks,
}

/// What becomes of an answer.
pub(super) enum Instead {
    Nothing,
    /// It is another one.
    This(Answer),
    /// These were not tried for.
    Also(Vec<(Id, Told<Campaigned>)>),
    /// It is a part of a later one.
    Part,
}

impl Instead {
    pub(super) fn of(self, answer: Answer) -> Option<Answer> {
        match (self, answer) {
            (Instead::Part, _) => None,
            (Instead::This(answer), _) => Some(answer),
            (Instead::Also(others), Answer::Campaigned(tries)) => {
                Some(Answer::Campaigned([tries, others].concat()))
            }
            (_, answer) => Some(answer),
        }
    }
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
