//! When this process leads after a leader that vanished.

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Takeover {
    /// At once where the way in which its session ended proves that its work has stopped.
    Autopsy,
    /// After the refractory period, unless its process has said that the work has stopped, or its session was seen silent
    /// for as long.
    AlwaysWait,
}

impl From<Takeover> for pg_leader::Takeover {
    fn from(takeover: Takeover) -> pg_leader::Takeover {
        match takeover {
            Takeover::Autopsy => pg_leader::Takeover::Autopsy,
            Takeover::AlwaysWait => pg_leader::Takeover::AlwaysWait,
        }
    }
}
