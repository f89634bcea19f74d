//! What a session asks of the schema: one request a file, with its SQL, its parameters and its rows.
//!
//! Each is one statement that ends in a Sync. It names its columns, so that a later schema may answer with more. An
//! answer that makes no sense is an error. Of the crate only the plain types of the engine are used here: `proof/`
//! includes these files by their path, and sends the same statements.

mod announce;
mod autopsy;
mod campaign;
mod ending;
mod error;
mod eviction;
mod fenced;
mod heartbeat;
mod join;
mod leave;
mod link;
mod office;
mod read;
mod rows;

use std::future::Future;
use std::sync::Arc;

use tokio_postgres::Client;

use crate::engine::{Answer, Request};

pub(crate) use self::error::Unanswered;
use self::link::Statement;
pub(crate) use self::link::{Constants, Link};

/// Those that a session sends again and again: parsed once.
const PREPARED: [&Statement; 7] = [
    &campaign::STATEMENT,
    &office::TAKE,
    &heartbeat::STATEMENT,
    &ending::VACATE,
    &ending::RELEASE,
    &announce::STATEMENT,
    &read::STATEMENT,
];

impl Link {
    /// One round trip for all.
    pub(crate) async fn prepare(
        client: Arc<Client>,
        constants: Constants,
    ) -> Result<Link, Unanswered> {
        Link::with(client, constants, &PREPARED).await
    }

    /// Ask, and read the answer.
    ///
    /// The request is written when the future is polled for the first time, whole and at once. So those of one session
    /// leave in the order in which they are first polled: a `FuturesOrdered` polls what is pushed into it in that order.
    /// They are answered in it too, by the server. Whoever drops the future of a request that was written gives up its
    /// answer, and the ones behind still get theirs.
    pub(crate) fn send(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Answer, Unanswered>> + Send + use<> {
        let link = self.clone();
        async move { link.ask(request).await }
    }

    async fn ask(&self, request: Request) -> Result<Answer, Unanswered> {
        match request {
            Request::Join(joins) => join::ask(self, &joins).await,
            Request::Campaign(bids) => campaign::ask(self, &bids).await,
            Request::TakeOffice(takes) => office::take(self, &takes).await,
            Request::Ready(terms) => office::ready(self, &terms).await,
            Request::Prove => heartbeat::prove(self).await,
            Request::Heartbeat(elections) => heartbeat::ask(self, &elections).await,
            Request::Vacate(terms) => ending::vacate(self, &terms).await,
            Request::Release {
                leadership,
                succession,
                silence_limit,
            } => ending::release(self, &leadership, &succession, silence_limit).await,
            Request::Announce(elections) => announce::ask(self, &elections).await,
            Request::Read(names) => read::ask(self, &names).await,
            Request::Leave(elections) => leave::ask(self, &elections).await,
            Request::BackendGone(terms) => autopsy::backend_gone(self, &terms).await,
            Request::Counters => autopsy::counters(self).await,
            Request::Evict(terms) => eviction::ask(self, &terms).await,
            Request::EndFenced(elections) => fenced::end(self, &elections).await,
        }
    }
}
