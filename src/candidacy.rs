//! A candidacy, from outside its work.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::campaign::LeadOutput;
use crate::config::Config;
use crate::elector::{Elector, Hold};
use crate::engine::Key;
use crate::error::Error;
use crate::session::Command;
use crate::standing::{AddressError, Changes, ProcessState};
use crate::term::Term;

/// A candidacy in one election, from [`Elector::campaign`]. Cheap to clone.
///
/// Dropping the last clone ends it in order, in the background: as [`leave`](Candidacy::leave), which waits for
/// that. [`detach`](Candidacy::detach) keeps it as long as its elector. A clone that its own `lead` holds is never
/// dropped before the candidacy is over.
#[derive(Clone)]
#[must_use = "dropping it ends the candidacy: keep it, or detach it"]
pub struct Candidacy(Arc<Kept>);

/// What the clones of a handle share.
struct Kept {
    elector: Elector,
    key: Key,
    /// Of this process in this election.
    number: u64,
    hold: Hold,
    /// Cancelled when the candidacy is over.
    left: CancellationToken,
    detached: AtomicBool,
}

impl Kept {
    fn leave(&self) -> Command {
        Command::Leave {
            key: self.key,
            candidacy: self.number,
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.detached.load(Ordering::Acquire) {
            self.elector.inner.tell(self.leave());
        }
    }
}

impl Candidacy {
    pub(crate) fn new(
        elector: Elector,
        key: Key,
        number: u64,
        hold: Hold,
        left: CancellationToken,
    ) -> Candidacy {
        Candidacy(Arc::new(Kept {
            elector,
            key,
            number,
            hold,
            left,
            detached: AtomicBool::new(false),
        }))
    }

    /// What this process is in the election *now*. Compares the deadline itself: it needs no task, no
    /// lock and no database to be true.
    pub fn state(&self) -> ProcessState {
        self.0.hold.shared().process_state()
    }

    /// The leader's address, as this process knows it. No query, no waiting.
    ///
    /// # Errors
    ///
    /// [`AddressError::NoLeader`] when nobody leads, [`AddressError::Unknown`] when this process cannot
    /// know now.
    pub fn address(&self) -> Result<String, AddressError> {
        self.0.hold.shared().address()
    }

    /// The newest term that this process knows of, 0 before the first.
    pub fn term(&self) -> i64 {
        self.0.hold.shared().term()
    }

    /// What the election does: how it stands now, then every change. See [`Changes`].
    ///
    /// ```no_run
    /// # async fn example(candidacy: pg_leader::Candidacy) {
    /// use futures_util::StreamExt;
    ///
    /// let mut changes = candidacy.changes();
    /// while let Some(standing) = changes.next().await {
    ///     println!("term {}: {} at {:?}", standing.term, standing.state, standing.address);
    /// }
    /// # }
    /// ```
    pub fn changes(&self) -> Changes {
        self.0.hold.shared().changes()
    }

    /// The election's name.
    pub fn election(&self) -> &str {
        &self.0.hold.shared().name
    }

    /// Give up the present term in order and stay a candidate; the others come first. Returns when the
    /// work has stopped and the database knows, where it can be told, or at once when this process does not
    /// lead. Work that cannot be dropped keeps this waiting.
    ///
    /// Whether there was a term to give up: this process led when it was asked.
    ///
    /// A process that has won and waits to take office, or is about to win, gives that up too: it lets the
    /// lock go, or ends the term that it gets before any work starts, and holds off. No term was led then, so the
    /// answer is false.
    ///
    /// A candidacy that is over has nothing to give up: a later one in the same election is another's.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: once called the term ends, whether or not anybody waits for it.
    pub async fn resign(&self) -> bool {
        let told = CancellationToken::new();
        let led = Arc::new(AtomicBool::new(false));
        let command = Command::GiveUp {
            key: self.0.key,
            candidacy: self.0.number,
            told: told.clone(),
            led: Arc::clone(&led),
        };
        self.0.elector.inner.ask(command, &told).await;
        led.load(Ordering::Acquire)
    }

    /// Stop being a candidate, in order. Returns when the work has stopped and the database knows, or
    /// cannot be told within the grace.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: once called the candidacy ends, whether or not anybody waits for it.
    pub async fn leave(&self) {
        self.0.elector.inner.ask(self.0.leave(), &self.0.left).await;
    }

    /// Keep the candidacy though no handle of it is left: it ends with its elector, or when a clone
    /// [leaves](Candidacy::leave). Whoever has no other handle of the elector keeps the one that this returns: an
    /// elector without any resigns everything.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pg_leader::Error> {
    /// let lead = |term: pg_leader::Term| async move { term.ready() };
    /// let candidacy = pg_leader::run("postgres://app@db/app", "billing", "10.0.0.5:8080", lead).await?;
    /// let elector = candidacy.detach();
    /// // ...
    /// elector.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn detach(self) -> Elector {
        self.0.detached.store(true, Ordering::Release);
        self.0.elector.clone()
    }

    /// The elector of this candidacy.
    pub fn elector(&self) -> &Elector {
        &self.0.elector
    }
}

impl fmt::Debug for Candidacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidacy")
            .field("election", &self.0.hold.shared().name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The whole of it for the simplest case: connect, and campaign in one election.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let candidacy = pg_leader::run("postgres://app@db/app", "billing", "10.0.0.5:8080", |term| async move {
///     term.ready();
///     while term.is_current() {
///         println!("term {}: working", term.number());
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
/// })
/// .await?;
/// println!("{} at {:?}", candidacy.state(), candidacy.address());
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
pub async fn run<L, F>(
    config: impl Into<Config>,
    election: &str,
    address: &str,
    lead: L,
) -> Result<Candidacy, Error>
where
    L: FnMut(Term) -> F + Send + 'static,
    F: Future<Output: LeadOutput> + Send + 'static,
{
    Elector::connect(config)
        .await?
        .campaign((election, address), lead)
}
