//! Words that mean one thing in SQL, in Rust and wherever they are shown.

use crate::engine::{ElectionState, Ending, WaitingFor};

/// One of a few words.
pub(crate) trait Word: Copy + 'static {
    const ALL: &'static [Self];

    /// What a word that only a later schema knows is taken for; none: it is an error.
    const UNKNOWN: Option<Self>;

    fn word(self) -> &'static str;

    fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.iter().copied().find(|it| it.word() == text);
        known.or(Self::UNKNOWN)
    }
}

impl Word for ElectionState {
    const ALL: &'static [Self] = &[Self::Unknown, Self::Vacant, Self::Recovering, Self::Leading];
    const UNKNOWN: Option<Self> = None;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for WaitingFor {
    const ALL: &'static [Self] = WaitingFor::ALL;
    const UNKNOWN: Option<Self> = Some(WaitingFor::Unknown);

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// How the leader's own process says that its term has ended.
impl Word for Ending {
    const ALL: &'static [Self] = &[
        Self::Resigned,
        Self::SteppedDown,
        Self::Failed,
        Self::Deposed,
    ];
    const UNKNOWN: Option<Self> = None;

    fn word(self) -> &'static str {
        match self {
            Self::Resigned => "resigned",
            Self::SteppedDown => "stepped down",
            Self::Failed => "failed",
            Self::Deposed => "deposed",
        }
    }
}
