//! A candidacy, from outside its work.

use std::fmt;
use std::sync::Arc;

use futures_util::stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::elector::Elector;
use crate::engine::Key;
use crate::error::Error;
use crate::session::{BoxError, Command};
use crate::standing::{AddressError, ProcessState, Shared, Standing};
use crate::term::Term;

/// A candidacy in one election. Cheap to clone; dropping it does not end the candidacy, as long as another
/// handle of the same [`Elector`] lives.
#[derive(Clone)]
pub struct Leader {
    pub(crate) elector: Elector,
    pub(crate) key: Key,
    pub(crate) candidacy: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) left: CancellationToken,
}

impl Leader {
    /// What this process is in the election *now*. Compares the deadline itself: it needs no task, no
    /// lock and no database to be true.
    pub fn state(&self) -> ProcessState {
        self.shared.process_state()
    }

    /// The leader's address, as this process knows it. No query, no waiting.
    ///
    /// # Errors
    ///
    /// [`AddressError::NoLeader`] when nobody leads, [`AddressError::Unknown`] when this process cannot
    /// know now.
    pub fn address(&self) -> Result<String, AddressError> {
        self.shared.address()
    }

    /// The newest term that this process knows of, 0 before the first.
    pub fn term(&self) -> u64 {
        self.shared.term()
    }

    /// What the election does: how it stands now, then every change. A slow reader misses those that
    /// others have overtaken, never the last one. Ends with the elector.
    ///
    /// ```no_run
    /// # async fn example(leader: pg_leader::Leader) {
    /// use futures_util::StreamExt;
    ///
    /// let mut changes = leader.changes();
    /// while let Some(standing) = changes.next().await {
    ///     println!("term {}: {} at {:?}", standing.term, standing.state, standing.address);
    /// }
    /// # }
    /// ```
    pub fn changes(&self) -> impl Stream<Item = Standing> + Send + Unpin + use<> {
        self.shared.changes()
    }

    /// The election's name.
    pub fn election(&self) -> &str {
        &self.shared.name
    }

    /// Give up the present term in order and stay a candidate; the others come first. Returns when the
    /// work has stopped and the database knows, where it can be told, or at once when this process does not
    /// lead. Work that cannot be dropped keeps this waiting.
    ///
    /// A process that has won and waits to take office, or is about to win, gives that up too: it lets the
    /// lock go, or ends the term that it gets before any work starts, and holds off.
    ///
    /// A candidacy that is over has nothing to give up: a later one in the same election is another's.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: once called the term ends, whether or not anybody waits for it.
    pub async fn resign(&self) {
        let told = CancellationToken::new();
        let command = Command::GiveUp {
            key: self.key,
            candidacy: self.candidacy,
            told: told.clone(),
        };
        self.elector.inner.ask(command, &told).await;
    }

    /// Stop being a candidate, in order. Returns when the work has stopped and the database knows, or
    /// cannot be told within the grace.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: once called the candidacy ends, whether or not anybody waits for it.
    pub async fn leave(&self) {
        let command = Command::Leave {
            key: self.key,
            candidacy: self.candidacy,
        };
        self.elector.inner.ask(command, &self.left).await;
    }

    /// The elector of this candidacy.
    pub fn elector(&self) -> &Elector {
        &self.elector
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("election", &self.shared.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The whole of it for the simplest case: connect, and campaign in one election.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let leader = pg_leader::run("postgres://app@db/app", "billing", "10.0.0.5:8080", |term| async move {
///     term.ready();
///     while term.is_current() {
///         println!("term {}: working", term.number());
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
///     Ok::<(), std::io::Error>(())
/// })
/// .await?;
/// println!("{} at {:?}", leader.state(), leader.address());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// As [`Elector::connect`] and [`Elector::campaign`].
///
/// # Cancel safety
///
/// Cancel safe: dropped before it has returned, it leaves no candidacy behind.
pub async fn run<L, F, E>(
    config: impl Into<Config>,
    election: &str,
    address: &str,
    lead: L,
) -> Result<Leader, Error>
where
    L: FnMut(Term) -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Elector::connect(config)
        .await?
        .campaign(election, address, lead)
}
