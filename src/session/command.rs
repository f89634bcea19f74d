//! What the handles, and the work, ask of the driver.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::engine::{Candidature, Input, Key};
use crate::error::Error;
use crate::standing::Shared;
#[cfg(feature = "testing")]
use crate::testing::PanicAt;
use crate::work::Lead;

/// Something to be done.
pub(crate) enum Command {
    Join {
        key: Key,
        candidate: Candidate,
    },
    Observe {
        key: Key,
        shared: Arc<Shared>,
    },
    Unobserve {
        key: Key,
    },
    /// What the work of a term tells.
    OfWork(Input),
    /// Resign what is held or about to be taken; `told` is cancelled when it is over.
    GiveUp {
        key: Key,
        candidacy: u64,
        told: CancellationToken,
        /// Set where there is a term to give up.
        led: Arc<AtomicBool>,
    },
    Leave {
        key: Key,
        candidacy: u64,
    },
    Shutdown,
    #[cfg(feature = "testing")]
    Panic(PanicAt),
}

/// What a candidacy brings along.
pub(crate) struct Candidate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Arc<str>,
    pub(crate) priority: i32,
    pub(crate) autopsy: bool,
    /// Its work is given time to stop by itself.
    pub(crate) graceful: bool,
    /// As long as this is there its elector does not forget the election. What is the application's may hang when it is
    /// dropped, and comes after.
    pub(crate) _hold: Box<dyn Send>,
    pub(crate) lead: Lead,
    pub(crate) runtime: Handle,
    /// Cancelled when the candidacy is over.
    pub(crate) left: CancellationToken,
    /// Of this process in this election.
    pub(crate) number: u64,
}

impl Candidate {
    /// What the engine is told of it.
    pub(crate) fn candidature(&self, election: Arc<str>) -> Candidature {
        Candidature {
            election,
            number: self.number,
            address: Arc::clone(&self.address),
            priority: self.priority,
            autopsy: self.autopsy,
            graceful: self.graceful,
        }
    }
}

/// Hears whether the first session came about.
pub(crate) type First = oneshot::Sender<Result<(), Error>>;
