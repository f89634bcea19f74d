//! How a term ends, where one thing alone goes wrong.

use std::fmt;

/// How a term ends, where one thing alone goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    Returned,
    Resigned,
    SteppedDown,
    Failed,
    ShutDown,
    Killed,
    KilledUnseen,
    SessionKilled,
    ServerRestarted,
    NetworkCut,
    Stopped,
    MachineOff,
    BothKilled,
    Transferred,
}

impl Ending {
    pub(super) const ALL: [Ending; 14] = [
        Ending::Returned,
        Ending::Resigned,
        Ending::SteppedDown,
        Ending::Failed,
        Ending::ShutDown,
        Ending::Killed,
        Ending::KilledUnseen,
        Ending::SessionKilled,
        Ending::ServerRestarted,
        Ending::NetworkCut,
        Ending::Stopped,
        Ending::MachineOff,
        Ending::BothKilled,
        Ending::Transferred,
    ];
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Ending::Returned => "lead returned",
            Ending::Resigned => "resigned",
            Ending::SteppedDown => "stepped down",
            Ending::Failed => "lead failed",
            Ending::ShutDown => "process shut down",
            Ending::Killed => "process killed, direct",
            Ending::KilledUnseen => "process killed, not believed",
            Ending::SessionKilled => "session killed",
            Ending::ServerRestarted => "server restarted",
            Ending::NetworkCut => "network cut",
            Ending::Stopped => "process stopped",
            Ending::MachineOff => "machine without power",
            Ending::Transferred => "transferred",
            Ending::BothKilled => "leader and successor killed",
        })
    }
}
