//! What an examination finds, and how much it matters.

use std::borrow::Cow;
use std::fmt;

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Good to know; nothing needs to be done.
    Note,
    /// It works, and less well than it could, or will not for long.
    Warning,
    /// No candidate can work so, or the guarantees do not hold.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Fine => "fine",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        })
    }
}

/// What one check of [`examine`](super::examine) found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at, in a word or two: the same for every server.
    pub check: Cow<'static, str>,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn new(check: &'static str, severity: Severity, what: impl Into<String>) -> Finding {
        Finding {
            check: check.into(),
            severity,
            what: what.into(),
            remedy: None,
        }
    }

    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Fine, what)
    }

    pub(super) fn note(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Note, what)
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Warning, what)
    }

    pub(super) fn problem(check: &'static str, what: impl Into<String>) -> Finding {
        Finding::new(check, Severity::Problem, what)
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }
}
