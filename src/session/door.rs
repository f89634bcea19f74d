//! The driver's only door to PostgreSQL: tokio-postgres, or a test by hand.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::connection::socket::SocketGuard;
use crate::engine::{Input, Request, Search, Surroundings};
use crate::error::Error;

/// Where sessions come from.
pub(crate) trait Door: Send + 'static {
    type Session: Session;

    /// Connect, prove the server fit, listen. `first`: there was no session yet.
    fn open(
        &self,
        instance: Option<Arc<str>>,
        first: bool,
        search: Search,
    ) -> Opening<Self::Session>;
}

pub(crate) type Opening<S> = Pin<Box<dyn Future<Output = Result<Opened<S>, Error>>>>;

/// A session that listens.
pub(crate) struct Opened<S> {
    pub(crate) session: S,
    pub(crate) pid: i32,
    pub(crate) direct: bool,
    pub(crate) instance: Arc<str>,
    /// Where the connection string names several.
    pub(crate) hosts: Option<Surroundings>,
}

pub(crate) trait Session {
    /// Requests leave in this order, and are answered in it.
    fn send(&mut self, request: Request);

    /// What it brings next: an answer, a refusal, notifications, or once nothing more comes, its end. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Input>;

    /// Stays open while a clone of it lives.
    fn socket(&self) -> &SocketGuard;

    /// End it without a word, once its socket is closed.
    fn let_go(self);

    /// End it in order: nothing runs any more.
    fn goodbye(self);
}
