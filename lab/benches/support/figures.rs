//! Figures, and the marks that they should meet.

use std::time::Duration;

/// Durations, in order.
pub(crate) struct Distribution(Vec<Duration>);

impl Distribution {
    pub(crate) fn of(mut samples: Vec<Duration>) -> Distribution {
        samples.sort();
        Distribution(samples)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// What the marks came to.
#[derive(Debug)]
pub(crate) struct Marks {
    /// Those that were missed by far.
    failed: Vec<String>,
    /// By far is more than so many times the mark.
    times: f64,
}

impl Default for Marks {
    fn default() -> Self {
        Marks {
            failed: vec![],
            times: 2.0,
        }
    }
}

impl Marks {
    /// For a machine that may be several times as slow as the one that the marks are for.
    #[allow(dead_code, reason = "not by every bench")]
    pub(crate) fn for_any_machine() -> Marks {
        Marks {
            times: 10.0,
            ..Marks::default()
        }
    }

    /// A figure should be at most that, of 0 nothing at all. What is asked for, and whether it is so.
    pub(crate) fn judge(&mut self, of: &str, mark: &str, figure: f64, limit: f64) -> String {
        let verdict = if figure <= limit {
            "met"
        } else if figure <= limit * self.times {
            "**missed**"
        } else {
            self.failed.push(format!("{of}: {mark}"));
            "**missed by far**"
        };
        format!("{mark}: {verdict}")
    }

    /// Whether none was missed by far; those that were are said.
    pub(crate) fn hold(&self) -> bool {
        for failed in &self.failed {
            eprintln!("missed more than {} times: {failed}", self.times);
        }
        self.failed.is_empty()
    }
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec());
    text += &line(head.iter().map(|_| "---").collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}
