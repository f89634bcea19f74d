//! What can befall a cluster.

use clap::ValueEnum;

/// The member that is the primary is meant, where none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Event {
    /// An operator moves the primary, in order.
    Switchover,
    /// PostgreSQL is killed; its Patroni lives and gives way.
    PrimaryKilled,
    /// Both are killed: the others wait until the leader key expires.
    MemberKilled,
    /// Patroni alone is killed: its primary goes on beside the new one.
    PatroniKilled,
    /// SIGSTOP to all of the member; woken when another has long been primary.
    Frozen,
    /// The member's cable is pulled, and later put in again.
    LinkDown,
    /// What the member sends is dropped, what is sent to it arrives.
    PacketsDropped,
    /// SIGSTOP to etcd for 15 s: the primary gives up, and comes back.
    EtcdPaused,
    /// Standbys no longer receive, two terms begin, and the member is killed: those terms are lost.
    LastRowsLost,
    /// The primary is killed in synchronous mode.
    Synchronous,
    /// Patroni is killed and the cable pulled, with the leader on the member's side of it: two primaries, and nothing
    /// that either side can see.
    TwoPrimaries,
    /// A switchover to a member that was killed, and rewound.
    Rewind,
    /// As patroni-killed; then a candidate joins whose string names the old primary first.
    LateCandidate,
}

impl Event {
    pub(super) const QUICK: [Event; 2] = [Event::Switchover, Event::PrimaryKilled];

    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether two may work at once: neither can know of the other.
    pub(super) fn splits(self) -> bool {
        self == Event::TwoPrimaries
    }
}
