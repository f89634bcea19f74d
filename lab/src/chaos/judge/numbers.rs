//! Invariant 2: terms strictly increase.

use super::History;
use super::verdict::Verdict;
use crate::judge::{Span, fallen_terms, shared_terms};

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut violations = vec![];
    for election in &history.run.elections {
        let of = spans.iter().filter(|span| span.election == *election);
        let of: Vec<&Span> = of.collect();
        violations.extend(shared_terms(&of).iter().map(|(owner, other)| {
            format!(
                "{election}: {} and {} both worked in term {}",
                owner.process, other.process, other.term
            )
        }));
        violations.extend(fallen_terms(&of).iter().map(|(late, newest)| {
            format!(
                "{election}: {} began term {} after {} had begun term {}",
                late.process, late.term, newest.process, newest.term
            )
        }));
        let mut terms: Vec<_> = history
            .database
            .terms
            .iter()
            .filter(|term| term.election == *election)
            .collect();
        terms.sort_by_key(|term| term.number);
        for pair in terms.windows(2) {
            if pair[1].started <= pair[0].started {
                violations.push(format!(
                    "{election}: in the database term {} began no later than term {}",
                    pair[1].number, pair[0].number
                ));
            }
        }
    }
    let evidence = format!(
        "{} terms in the database, {} at work",
        history.database.terms.len(),
        spans.len()
    );
    Verdict::new(2, "terms strictly increase", evidence, violations)
        .unless_none(history.database.terms.len(), "term in the database")
        .unless_none(spans.len(), "term at work")
}
