//! Invariant 3: no transaction fenced by a term commits after a later term has begun.
//!
//! No clock is asked. Every fenced row holds its transaction's number and the snapshot with which it was written,
//! taken after the fence was passed, so after its term had begun. A transaction of an earlier term that this snapshot does
//! not see had not committed by then.

use super::History;
use super::history::Write;
use super::verdict::Verdict;

pub(super) fn judge(history: &History) -> Verdict {
    let mut violations = vec![];
    let mut lacking = vec![];
    let mut terms = 0;
    for election in &history.run.elections {
        let mut writes: Vec<&Write> = history
            .database
            .writes
            .iter()
            .filter(|write| write.election == *election)
            .collect();
        writes.sort_by_key(|write| (write.term, write.sequence));
        let before = terms;
        for (index, write) in writes.iter().enumerate() {
            let first = index
                .checked_sub(1)
                .is_none_or(|before| writes[before].term < write.term);
            if !first {
                continue;
            }
            terms += 1;
            let Some(snapshot) = Snapshot::parse(&write.snapshot) else {
                violations.push(format!("{election}: {} is no snapshot", write.snapshot));
                continue;
            };
            let late = writes[..index]
                .iter()
                .filter(|earlier| !snapshot.sees(earlier.transaction));
            violations.extend(late.map(|late| {
                format!(
                    "{election}: row {} of term {} was committed after term {} had begun",
                    late.sequence, late.term, write.term
                )
            }));
        }
        if terms < before + 2 {
            lacking.push(format!(
                "{election} has fenced rows of {} terms",
                terms - before
            ));
        }
    }
    let evidence = format!(
        "{} fenced rows of {terms} terms",
        history.database.writes.len()
    );
    Verdict::new(
        3,
        "a fenced transaction commits in time or never",
        evidence,
        violations,
    )
    .unless_lacking(lacking)
}

/// What PostgreSQL calls a `pg_snapshot`.
struct Snapshot {
    /// Every transaction from here on is in the future.
    xmax: u64,
    running: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Snapshot> {
        let mut parts = text.split(':');
        let (_xmin, xmax, running) = (parts.next()?, parts.next()?, parts.next()?);
        let running = running
            .split(',')
            .filter(|number| !number.is_empty())
            .map(str::parse);
        Some(Snapshot {
            xmax: xmax.parse().ok()?,
            running: running.collect::<Result<_, _>>().ok()?,
        })
    }

    fn sees(&self, transaction: u64) -> bool {
        transaction < self.xmax && !self.running.contains(&transaction)
    }
}
