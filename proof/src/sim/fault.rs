//! The kinds of things that go wrong.

use std::fmt;

/// Something that goes wrong, and how the report calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    ProcessKilled,
    ProcessShutDown,
    ProcessStopped,
    MachineOff,
    MachineSuspended,
    ClockRate,
    RuntimeBlocked,
    DriverPanics,
    CutToServer,
    CutFromServer,
    CutBoth,
    SlowNetwork,
    ProxyDies,
    SessionKilled,
    ConnectionLimit,
    ServerStalls,
    ServerCrash,
    ServerRestart,
    ServerOff,
    Failover,
    FailoverWithLoss,
    PromotionDiscarded,
    PromotedAgain,
    CountersReset,
    NotificationsLost,
    NotificationsLate,
    NotificationsForged,
    StrangerLeads,
    StrangerSucceeds,
    TransactionStays,
    StepDown,
    Resign,
    Suspend,
    Exclude,
    Transfer,
    RequestsLocked,
    LeaveAndJoin,
    Observe,
    AnotherHostLed,
}

impl Fault {
    pub(super) const ALL: [Fault; 39] = [
        Fault::ProcessKilled,
        Fault::ProcessShutDown,
        Fault::ProcessStopped,
        Fault::MachineOff,
        Fault::MachineSuspended,
        Fault::ClockRate,
        Fault::RuntimeBlocked,
        Fault::DriverPanics,
        Fault::CutToServer,
        Fault::CutFromServer,
        Fault::CutBoth,
        Fault::SlowNetwork,
        Fault::ProxyDies,
        Fault::SessionKilled,
        Fault::ConnectionLimit,
        Fault::ServerStalls,
        Fault::ServerCrash,
        Fault::ServerRestart,
        Fault::ServerOff,
        Fault::Failover,
        Fault::FailoverWithLoss,
        Fault::PromotionDiscarded,
        Fault::PromotedAgain,
        Fault::CountersReset,
        Fault::NotificationsLost,
        Fault::NotificationsLate,
        Fault::NotificationsForged,
        Fault::StrangerLeads,
        Fault::StrangerSucceeds,
        Fault::TransactionStays,
        Fault::StepDown,
        Fault::Resign,
        Fault::Suspend,
        Fault::Exclude,
        Fault::Transfer,
        Fault::RequestsLocked,
        Fault::LeaveAndJoin,
        Fault::Observe,
        Fault::AnotherHostLed,
    ];

    /// How often it comes, beside the others.
    pub(super) fn weight(self) -> u64 {
        match self {
            Fault::ServerCrash | Fault::ServerRestart | Fault::ServerOff => 1,
            Fault::Failover | Fault::FailoverWithLoss => 1,
            // They need a failover before them.
            Fault::PromotionDiscarded | Fault::PromotedAgain => 2,
            Fault::ProcessKilled | Fault::SessionKilled | Fault::StepDown | Fault::LeaveAndJoin => {
                6
            }
            Fault::ProcessStopped | Fault::CutBoth | Fault::CutToServer | Fault::CutFromServer => 4,
            _ => 3,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::ProcessKilled => "process killed",
            Fault::ProcessShutDown => "process shut down, and started again",
            Fault::ProcessStopped => "process stopped and continued",
            Fault::MachineOff => "machine without power",
            Fault::MachineSuspended => "machine suspended",
            Fault::ClockRate => "clock runs at another rate",
            Fault::RuntimeBlocked => "runtime blocked",
            Fault::DriverPanics => "driver panics, and starts again",
            Fault::CutToServer => "network cut towards the server",
            Fault::CutFromServer => "network cut from the server",
            Fault::CutBoth => "network cut both ways",
            Fault::SlowNetwork => "slow network",
            Fault::ProxyDies => "proxy closes its connections",
            Fault::SessionKilled => "session killed by an operator",
            Fault::ConnectionLimit => "no connection left",
            Fault::ServerStalls => "server stalls",
            Fault::ServerCrash => "server crashes and recovers",
            Fault::ServerRestart => "server restarted",
            Fault::ServerOff => "server without power",
            Fault::Failover => "failover",
            Fault::FailoverWithLoss => "failover to a lagging standby",
            Fault::PromotionDiscarded => "promotion thrown away",
            Fault::PromotedAgain => "another standby promoted to the same timeline",
            Fault::CountersReset => "counters reset",
            Fault::NotificationsLost => "notifications lost",
            Fault::NotificationsLate => "notifications late",
            Fault::NotificationsForged => "notifications forged",
            Fault::StrangerLeads => "stranger takes the leadership",
            Fault::StrangerSucceeds => "stranger takes the successor's place",
            Fault::TransactionStays => "fenced transaction stays open",
            Fault::StepDown => "step down",
            Fault::Resign => "resign",
            Fault::Suspend => "suspended and resumed",
            Fault::Exclude => "address excluded and included",
            Fault::Transfer => "transferred",
            Fault::RequestsLocked => "table of requests locked",
            Fault::LeaveAndJoin => "candidacy taken back and begun again",
            Fault::Observe => "observing begins or ends",
            Fault::AnotherHostLed => "another host accepts writes and is led",
        })
    }
}
