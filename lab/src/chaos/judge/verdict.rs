//! What the judge says of one invariant.

use std::fmt;

use serde::Serialize;

/// So many violations are told, and of what evidence is lacking; the others are counted.
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
    /// What evidence is lacking. Nothing that is said without it counts.
    pub lacking: Vec<String>,
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
            lacking: vec![],
        }
    }

    /// A verdict is none where this is not empty.
    pub(super) fn unless_lacking(mut self, lacking: Vec<String>) -> Verdict {
        self.lacking.extend(lacking);
        self
    }

    /// A verdict is none where there is none of what it must have looked at.
    pub(super) fn unless_none(self, count: usize, of: &str) -> Verdict {
        let lacking = (count == 0).then(|| format!("no {of}"));
        self.unless_lacking(lacking.into_iter().collect())
    }

    /// Whether it was judged, and nothing speaks against it.
    pub fn held(&self) -> bool {
        self.count == 0 && self.lacking.is_empty()
    }

    /// In a word, or two.
    pub fn word(&self) -> &'static str {
        match (self.count, self.lacking.is_empty()) {
            (0, true) => "held",
            (0, false) => "NOT JUDGED",
            _ => "VIOLATED",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self.invariant {
            0 => "the record".to_owned(),
            number => format!("invariant {number}"),
        };
        let (name, word, evidence) = (self.name, self.word(), &self.evidence);
        writeln!(f, "{number}, {name}: {word} ({evidence})")?;
        for lacking in self.lacking.iter().take(TOLD) {
            writeln!(f, "  not judged: {lacking}")?;
        }
        if self.lacking.len() > TOLD {
            writeln!(f, "  and {} more", self.lacking.len() - TOLD)?;
        }
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        if self.count > self.violations.len() {
            writeln!(f, "  and {} more", self.count - self.violations.len())?;
        }
        Ok(())
    }
}
