//! How long an election may be without a leader, as the design's table "the life of a term" says.

use std::time::Duration;

use super::ending::Ending;
use crate::engine::Timings;

/// What the bounds follow from, beside the leader's own timings: each the longest that there is.
pub(super) struct Circumstances {
    pub(super) lease: Duration,
    pub(super) retry_interval: Duration,
    pub(super) grace: Duration,
    pub(super) latency: Duration,
    /// How long a session is busy that takes over all elections.
    pub(super) toll: Duration,
}

/// How long an election is without a leader at most, by how its term ended. Each follows the table "the life
/// of a term", and has room for the latencies of the world: some twenty steps of them.
pub(super) fn bound(ending: Ending, leader: &Timings, circumstances: &Circumstances) -> Duration {
    let lease = leader.lease;
    let probe = leader.probe_interval(lease);
    let steps = circumstances.latency * 20 + Duration::from_millis(40) + circumstances.toll;
    let retry = circumstances.retry_interval * 5 / 4;
    match ending {
        Ending::Returned | Ending::Resigned | Ending::Failed | Ending::ShutDown => probe + steps,
        Ending::SteppedDown | Ending::Transferred => leader.heartbeat_interval + probe + steps,
        Ending::Killed => probe * 2 + steps,
        Ending::KilledUnseen => probe * 2 + lease + steps,
        Ending::SessionKilled => probe * 2 + lease + steps,
        Ending::ServerRestarted => lease + retry + lease / 50 + steps,
        Ending::NetworkCut | Ending::Stopped | Ending::MachineOff => {
            leader.silence_limit + probe * 2 + steps
        }
        Ending::BothKilled => retry + lease + probe * 4 + steps,
    }
}

/// After a storm anything may be left over: a session that its server still believes in, a refractory
/// period, work in its grace, a reconnection that waits for its turn.
pub(super) fn bound_after_storm(circumstances: &Circumstances) -> Duration {
    let Circumstances {
        lease,
        retry_interval,
        grace,
        latency,
        toll,
    } = circumstances;
    let connecting = Duration::from_secs(5);
    // A transfer to somebody who does not come is given up after ten leases.
    *lease * 14 + *retry_interval * 4 + *grace + connecting * 2 + *latency * 20 + *toll * 4
}
