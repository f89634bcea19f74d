//! What bars a candidate.

/// Why a candidate may not lead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bar {
    /// Nobody may.
    Suspended,
    /// Its address is excluded.
    Excluded,
    /// The next term is to be another candidate's.
    Transfer,
    /// A live candidate has a higher priority.
    Outranked,
    /// What operators ask for cannot be read now.
    Unknown,
    /// It has heard of a term that lies too far beyond this server's: it would work below it.
    Beyond,
    /// The leadership is held on another host that accepts writes.
    Elsewhere,
}
