//! What a process is in an election.

use std::fmt;
use std::str::FromStr;

/// What a process is in an election. Reads what it prints:
///
/// ```
/// use pg_leader::ProcessState;
///
/// assert_eq!(ProcessState::Leading.to_string(), "leading");
/// assert_eq!("recovering".parse(), Ok(ProcessState::Recovering));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ProcessState {
    /// Not the leader.
    #[default]
    Following,
    /// Elected, and still catching up: its work has not called [`Term::ready`](crate::Term::ready) yet.
    Recovering,
    /// The leader.
    Leading,
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ProcessState::Following => "following",
            ProcessState::Recovering => "recovering",
            ProcessState::Leading => "leading",
        })
    }
}

/// The text is no state of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseStateError(String);

impl fmt::Display for ParseStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is none of following, recovering and leading",
            self.0
        )
    }
}

impl std::error::Error for ParseStateError {}

impl FromStr for ProcessState {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, ParseStateError> {
        match text {
            "following" => Ok(ProcessState::Following),
            "recovering" => Ok(ProcessState::Recovering),
            "leading" => Ok(ProcessState::Leading),
            other => Err(ParseStateError(other.to_owned())),
        }
    }
}
