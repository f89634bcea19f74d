//! A session for statements: its client, what is prepared on it, and what is constant for it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::Unanswered;
use super::rows;

/// A statement and the types of its parameters.
pub(super) struct Statement {
    /// What it is about, for who reads an error.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) types: &'static [Type],
}

/// What is constant for a session.
#[derive(Clone, Debug)]
pub(crate) struct Constants {
    /// What its session bears: a call that meets another one is refused.
    pub(crate) mark: String,
    /// The secret of this process. None: it gets one.
    pub(crate) instance: Option<Arc<str>>,
    /// No pooler is in between.
    pub(crate) direct: bool,
    /// pgpool-II is.
    pub(crate) pgpool: bool,
    /// The name that this session shows, before the address that joins first.
    pub(crate) application: String,
    pub(crate) lease: Duration,
    /// After so much silence the server ends a session that leads or is successor.
    pub(crate) silence_limit: Duration,
    /// So long a notification may wait for the server's queue.
    pub(crate) announce_limit: Duration,
}

/// A client, what is prepared on its session, and what is constant for it. Clones send on the same session.
#[derive(Clone)]
pub(crate) struct Link(pub(super) Arc<Facts>);

pub(super) struct Facts {
    /// Goes before what is prepared: see `Wire::goodbye`.
    pub(super) client: Arc<Client>,
    pub(super) prepared: HashMap<&'static str, tokio_postgres::Statement>,
    pub(super) constants: Constants,
    pub(super) instance: Arc<str>,
    /// What joined first.
    pub(super) address: OnceLock<Arc<str>>,
    /// The class of the leadership locks: another one means other locks.
    pub(super) locks: u32,
}

impl Link {
    /// One round trip for all. The types of the columns that are not PostgreSQL's own are asked for besides.
    pub(super) async fn with(
        client: Arc<Client>,
        constants: Constants,
        statements: &[&Statement],
    ) -> Result<Link, Unanswered> {
        let prepare = statements
            .iter()
            .map(|statement| client.prepare_typed(statement.text, statement.types));
        let facts = "SELECT 'pgleader.election'::regclass::oid AS locks, gen_random_uuid()::text AS instance";
        let (prepared, facts) = try_join(try_join_all(prepare), client.query_typed(facts, &[]))
            .await
            .map_err(|error| Unanswered::of("preparing statements", error))?;
        let facts = rows::only(facts.into_iter(), "preparing statements")?;
        let instance = match &constants.instance {
            Some(instance) => Arc::clone(instance),
            None => rows::text(&facts, "instance")?,
        };
        let names = statements.iter().map(|statement| statement.name);
        Ok(Link(Arc::new(Facts {
            locks: rows::column(&facts, "locks")?,
            prepared: names.into_iter().zip(prepared).collect(),
            client,
            constants,
            instance,
            address: OnceLock::new(),
        })))
    }

    /// The secret of this process.
    pub(crate) fn instance(&self) -> &Arc<str> {
        &self.0.instance
    }

    #[cfg(test)]
    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.client.is_closed()
    }

    /// `values`: of the statement's types, in their order.
    pub(super) async fn rows(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Unanswered> {
        let client = &self.0.client;
        let result = match self.0.prepared.get(statement.name) {
            Some(prepared) => client.query(prepared, values).await,
            None => {
                let values = values.iter().copied();
                let typed: Vec<_> = values.zip(statement.types.iter().cloned()).collect();
                client.query_typed(statement.text, &typed).await
            }
        };
        result.map_err(|error| Unanswered::of(statement.name, error))
    }
}
