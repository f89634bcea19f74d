//! An election, followed without being a candidate.

use std::fmt;
use std::sync::Arc;

use crate::elector::{Elector, Hold};
use crate::standing::{AddressError, Changes, ElectionState};

/// Follows an election without being a candidate, from [`Elector::observe`]. Changes are pushed; what was
/// missed is read again once per retry interval. Without a session it knows nothing, and says so.
///
/// Cheap to clone. Dropping the last clone ends the following.
#[derive(Clone)]
pub struct Observer(Arc<Watching>);

/// What the clones share.
struct Watching {
    elector: Elector,
    hold: Hold,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.elector.inner.unobserve(&self.hold.shared().name);
    }
}

impl Observer {
    pub(crate) fn new(elector: Elector, hold: Hold) -> Observer {
        Observer(Arc::new(Watching { elector, hold }))
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

    /// What the election is in.
    pub fn state(&self) -> ElectionState {
        self.0.hold.shared().election_state()
    }

    /// What the election does: how it stands now, then every change. See [`Changes`].
    pub fn changes(&self) -> Changes {
        self.0.hold.shared().changes()
    }

    /// The election's name.
    pub fn election(&self) -> &str {
        &self.0.hold.shared().name
    }

    /// The elector of this observer.
    pub fn elector(&self) -> &Elector {
        &self.0.elector
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("election", &self.0.hold.shared().name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
