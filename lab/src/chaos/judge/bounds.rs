//! Invariant 6: while the database is reachable and a candidate lives, somebody leads within bounds.
//!
//! Each gap has a bound of its own, by what has caused it and by what has come in between: see [`allowed`](super::allowed).
//! What a single gap cannot show, since its bound has room for a busy machine, the median of many can: that a leader that
//! hangs is evicted, and that the end of a killed one is known at once.

use super::allowed::Allowed;
use super::gaps::{Fault, Gap};
use super::history::{History, Kind};
use super::verdict::Verdict;
use crate::judge::Span;

/// So many terms a minute begin in each election, or nothing was tried.
const TERMS_A_MINUTE: f64 = 6.0;

/// Of the gaps so many in a hundred have one cause and nothing else to wait for.
const ALONE: usize = 15;

/// Of fewer nothing is asked.
const FEW: usize = 8;

/// Ten minutes have so many leaders that hang, with nothing else around.
const HANGS: u64 = 12;

/// What most gaps after a fault keep.
struct Most {
    kind: Kind,
    /// Only those of direct sessions.
    direct: bool,
    /// As a share of the lease.
    leases: f64,
}

/// The successor ends a session that it has watched silent for a lease, before the server does so by itself, after 1.2; and of
/// a process that is killed nothing needs to be waited for.
const MOST: [Most; 2] = [
    Most {
        kind: Kind::StoppedProcess,
        direct: false,
        leases: 1.17,
    },
    Most {
        kind: Kind::KilledProcess,
        direct: true,
        leases: 0.6,
    },
];

/// A median of fewer says nothing.
const MEDIAN_OF: usize = 3;

pub(super) fn judge(history: &History, spans: &[Span], gaps: &[Gap], faults: &[Fault]) -> Verdict {
    let allowed: Vec<Allowed> = Allowed::of(history, spans, gaps, faults);
    let mut violations = vec![];
    let mut lacking = vec![];
    let mut worst: f64 = 0.0;
    for (gap, allowed) in gaps.iter().zip(&allowed) {
        worst = worst.max(allowed.share(gap));
        if gap.to > allowed.by {
            violations.push(too_long(gap, allowed));
        }
    }
    let mut said = vec![];
    for most in &MOST {
        let shares = most.shares(history, gaps, &allowed);
        if most.kind == Kind::StoppedProcess
            && (shares.len() as u64) < history.run.seconds * HANGS / 600
        {
            let count = shares.len();
            lacking.push(format!("{count} leaders that hang, and nothing else"));
        }
        if shares.len() >= MEDIAN_OF {
            said.push(most.judge(&shares, &mut violations));
        }
    }
    let alone = allowed.iter().filter(|allowed| allowed.alone).count();
    if gaps.len() >= FEW && alone * 100 < gaps.len() * ALONE {
        lacking.push(format!(
            "only {alone} of {} gaps have one cause and nothing else to wait for",
            gaps.len()
        ));
    }
    let minutes = history.run.ended.saturating_sub(history.run.began) as f64 / 60e9;
    lacking.extend(too_few_terms(history, spans, minutes));
    let terms = spans.len() as f64 / history.run.elections.len().max(1) as f64;
    let mut evidence = format!(
        "{} gaps, {alone} of them with one cause and nothing else to wait for, at most {:.0} % of what was allowed; \
         {:.1} terms a minute",
        gaps.len(),
        worst * 100.0,
        terms / minutes.max(f64::MIN_POSITIVE),
    );
    for said in said {
        evidence.push_str("; ");
        evidence.push_str(&said);
    }
    Verdict::new(6, "somebody leads within bounds", evidence, violations)
        .unless_none(gaps.len(), "gap")
        .unless_lacking(lacking)
}

fn too_long(gap: &Gap, allowed: &Allowed) -> String {
    format!(
        "{}: nobody led for {:.2} s after {} (term {} had ended by {}), {:.2} s were allowed, for {}",
        gap.election,
        gap.length() as f64 / 1e9,
        gap.from,
        gap.after,
        gap.cause.map_or("nothing", Kind::name),
        allowed.by.saturating_sub(gap.from) as f64 / 1e9,
        match allowed.why.is_empty() {
            true => "nothing".to_owned(),
            false => allowed.why.join(", "),
        },
    )
}

fn too_few_terms(history: &History, spans: &[Span], minutes: f64) -> Vec<String> {
    let mut few = vec![];
    for election in &history.run.elections {
        let terms = spans.iter().filter(|span| span.election == *election);
        let terms = terms.count();
        if (terms as f64) < (minutes * TERMS_A_MINUTE).floor() {
            few.push(format!(
                "{terms} terms of {election} in {minutes:.1} minutes"
            ));
        }
    }
    few
}

impl Most {
    /// How long the gaps were that it is about, as shares of the lease, in order.
    fn shares(&self, history: &History, gaps: &[Gap], allowed: &[Allowed]) -> Vec<f64> {
        let lease = history.run.lease_ms as f64 * 1e6;
        let of = |(gap, allowed): &(&Gap, &Allowed)| {
            allowed.alone && gap.cause == Some(self.kind) && (allowed.direct || !self.direct)
        };
        let of = gaps.iter().zip(allowed).filter(of);
        let mut shares: Vec<f64> = of.map(|(gap, _)| gap.length() as f64 / lease).collect();
        shares.sort_by(f64::total_cmp);
        shares
    }

    /// What half of them needed.
    fn judge(&self, shares: &[f64], violations: &mut Vec<String>) -> String {
        let (kind, most) = (self.kind.name(), self.leases);
        let median = shares[(shares.len() - 1) / 2];
        if median > most {
            violations.push(format!(
                "after {kind}, and nothing else, it mostly takes {median:.2} leases until somebody leads, {most} were allowed"
            ));
        }
        format!(
            "half of {} with only {kind} within {median:.2} leases, of {most} allowed",
            shares.len()
        )
    }
}
