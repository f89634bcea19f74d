//! Fencing: a transaction that commits in its term or never.

use tokio_postgres::GenericClient;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Kind, advice};
use crate::term::Term;

impl Term {
    /// Admit `transaction` only while this term is current: it commits before a later term begins, or never
    /// (invariant 3). Call it inside the transaction, on any connection to the same database, before the
    /// writes that it shall guard. One round trip; a transaction that has passed holds up the next term until
    /// it ends, and is ended itself when it outlasts the refractory period.
    ///
    /// A rollback to a savepoint from before the call undoes it: fence again after it.
    ///
    /// ```no_run
    /// # async fn example(term: pg_leader::Term, client: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let transaction = client.transaction().await?;
    /// term.fence(&transaction).await?;
    /// transaction.execute("UPDATE account SET balance = balance - 1", &[]).await?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Other clients call `SELECT pgleader.fence('election', term, 'token')`; see `docs/fencing.md`.
    ///
    /// # Errors
    ///
    /// Each leaves the transaction aborted: roll it back. By its [kind](Error::kind):
    ///
    /// - [`Fenced`](crate::ErrorKind::Fenced): the term is over, stop its work.
    /// - [`UnknownTerm`](crate::ErrorKind::UnknownTerm): this database does not know the term, stop its work too.
    /// - [`Serialization`](crate::ErrorKind::Serialization), under REPEATABLE READ and SERIALIZABLE: the
    ///   transaction's snapshot is too old to tell, run it again.
    /// - [`FenceMisuse`](crate::ErrorKind::FenceMisuse): the call is outside a transaction, or on a database without
    ///   that election.
    /// - [`Connection`](crate::ErrorKind::Connection): the query itself failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it has returned, nobody knows whether the transaction has passed: roll it back, or
    /// fence again, which is allowed any number of times.
    pub async fn fence<C>(&self, transaction: &C) -> Result<(), Error>
    where
        C: GenericClient + Sync,
    {
        // By the simple protocol: it needs no prepared statement of a pooled connection, and only so can the
        // server tell a call outside a transaction.
        let call = format!(
            "SELECT pgleader.fence({}, {}, {})",
            literal(self.election()),
            self.number(),
            literal(self.token())
        );
        transaction.batch_execute(&call).await.map_err(refusal)
    }
}

/// Whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn refusal(error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::session("pgleader.fence", error);
    };
    let said = advice(db);
    let kind = match db.code().code() {
        "PL001" => Kind::Fenced(said),
        "PL002" => Kind::NeverGivenOut(said),
        _ => match *db.code() {
            SqlState::T_R_SERIALIZATION_FAILURE => Kind::Serialization(said),
            SqlState::UNDEFINED_OBJECT | SqlState::NO_ACTIVE_SQL_TRANSACTION => {
                Kind::FenceMisuse(said)
            }
            _ => return Error::session("pgleader.fence", error),
        },
    };
    Error::caused(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_quotes() {
        assert_eq!(literal("billing"), "E'billing'");
        assert_eq!(literal(r"o'neil\"), r"E'o''neil\\'");
    }
}
