//! What the judge says of one invariant.

use serde::Serialize;

/// So many violations are told; the others are counted.
const TOLD: usize = 5;

/// Whether an invariant held, and what shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The invariant's number; 0 for the record itself.
    pub invariant: u8,
    /// In short.
    pub name: &'static str,
    /// What was looked at.
    pub evidence: String,
    /// The first of what speaks against it.
    pub violations: Vec<String>,
    /// How much that is.
    pub count: usize,
}

impl Verdict {
    pub(super) fn new(
        invariant: u8,
        name: &'static str,
        evidence: String,
        mut violations: Vec<String>,
    ) -> Verdict {
        let count = violations.len();
        violations.truncate(TOLD);
        Verdict {
            invariant,
            name,
            evidence,
            violations,
            count,
        }
    }

    /// Whether nothing speaks against it.
    pub fn held(&self) -> bool {
        self.count == 0
    }
}
