//! What the design's table allows, and room for a machine that has other things to do.

use super::history::{History, Kind};

/// Durations, in nanoseconds.
pub(super) struct Table {
    pub(super) lease: u64,
    pub(super) retry: u64,
    pub(super) probe: u64,
    /// For a machine that has other things to do.
    room: u64,
}

impl Table {
    pub(super) fn of(history: &History) -> Table {
        let lease = history.run.lease_ms * 1_000_000;
        Table {
            lease,
            retry: history.run.retry_interval_ms * 1_000_000 * 5 / 4,
            probe: lease / 20,
            room: lease / 2,
        }
    }

    /// The successor hears of it at once; the leader with its next heartbeat.
    pub(super) fn orderly(&self) -> u64 {
        self.lease / 8 + self.probe * 2 + self.room
    }

    /// A lease from the end of the session, unless it is known sooner that the work has stopped.
    pub(super) fn unclean(&self) -> u64 {
        self.lease + self.probe * 2 + self.room
    }

    /// The session is ended when it has been silent for long.
    pub(super) fn silent(&self) -> u64 {
        self.lease * 12 / 10 + self.probe * 2 + self.room
    }

    /// A quarter of a lease a round trip, some of them until office is taken.
    pub(super) fn slow(&self) -> u64 {
        self.silent() + self.lease * 5 / 4
    }

    /// Somebody has to become the successor, who has watched nobody.
    pub(super) fn both(&self) -> u64 {
        self.retry + self.silent() + self.lease + self.probe * 2
    }

    /// Somebody has to come back.
    pub(super) fn server(&self) -> u64 {
        self.retry + self.lease + self.probe * 4 + self.room
    }

    pub(super) fn of_leader(&self, kind: Kind) -> u64 {
        match kind {
            Kind::StepDown
            | Kind::Transfer
            | Kind::Exclude
            | Kind::Resign
            | Kind::FailedWork
            | Kind::Leave
            | Kind::Priority
            | Kind::Shutdown
            | Kind::BlockedRuntime => self.orderly(),
            Kind::KilledSession
            | Kind::Depose
            | Kind::KilledProcess
            | Kind::ResetConnections
            | Kind::KilledRelay
            | Kind::DriverPanic => self.unclean(),
            Kind::SlowNetwork => self.slow(),
            _ => self.silent(),
        }
    }
}
