//! What tells how the last leader's session ended.

use super::Postgres;
use crate::engine::{Answer, Id};

impl Postgres {
    pub(super) fn backend_gone(&self, terms: &[(Id, u64)]) -> Answer {
        let gone = |(election, term): &(Id, u64)| {
            let row = self.tables.terms.get(&(election.0, *term));
            let gone = row.is_none_or(|row| !self.backends.contains_key(&row.pid));
            (*election, Ok(gone))
        };
        Answer::Gone(terms.iter().map(gone).collect())
    }
}
