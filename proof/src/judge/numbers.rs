//! Invariant 2: terms strictly increase.

use std::collections::BTreeMap;

use super::History;
use super::spans::Span;
use super::verdict::Verdict;

pub(super) fn judge(history: &History, spans: &[Span]) -> Verdict {
    let mut violations = vec![];
    for election in &history.run.elections {
        let mut newest: Option<&Span> = None;
        let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
        for span in spans.iter().filter(|span| span.election == *election) {
            let owner = owners.entry(span.term).or_insert(&span.process);
            if *owner != span.process {
                violations.push(format!(
                    "{election}: {owner} and {} both worked in term {}",
                    span.process, span.term
                ));
            }
            if let Some(newest) = newest
                && newest.term > span.term
                && newest.first < span.first
            {
                violations.push(format!(
                    "{election}: {} began term {} after {} had begun term {}",
                    span.process, span.term, newest.process, newest.term
                ));
            }
            if newest.is_none_or(|newest| span.term > newest.term) {
                newest = Some(span);
            }
        }
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
