//! Worlds that are broken on purpose: each invariant must find its own out.

use super::world::World;
use crate::engine::Query;
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

/// So many tries in vain.
const PATIENCE: u32 = 40;

impl World {
    /// What a process sends, as a flaw of its own makes it.
    pub(super) fn flawed(&mut self, host: usize, query: Query) -> Query {
        let calm = self.calm;
        let Some(running) = self.hosts[host].running.as_mut() else {
            return query;
        };
        // Answered, and of no use.
        let nothing = Query::Heartbeat { keys: vec![] };
        match (self.flaw, query) {
            (Some(Flaw::StopsTrying), Query::Campaign { .. }) if running.lost_tries > PATIENCE => {
                nothing
            }
            (Some(Flaw::WaitsForEver), Query::TakeOffice { key, .. })
                if running.refused.contains(&key) =>
            {
                nothing
            }
            (Some(Flaw::Sulks), Query::Campaign { .. }) if !calm => Query::Campaign {
                keys: vec![],
                successor_of: vec![],
                overdue: vec![],
                heard: vec![],
            },
            (
                Some(Flaw::OneAtATime),
                Query::Campaign {
                    mut keys,
                    mut successor_of,
                    overdue,
                    heard,
                },
            ) => {
                running.turn += 1;
                let turn = keys[running.turn % keys.len()];
                keys.retain(|key| *key == turn);
                successor_of.retain(|key| *key == turn);
                Query::Campaign {
                    keys,
                    successor_of,
                    overdue,
                    heard,
                }
            }
            (_, query) => query,
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
