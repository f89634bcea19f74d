//! An election, followed without being a candidate.

use std::fmt;
use std::sync::Arc;

use futures_util::stream::Stream;

use crate::elector::Elector;
use crate::engine::Key;
use crate::standing::{AddressError, ElectionState, Shared, Standing};

/// Follows an election without being a candidate, from [`Elector::observe`]. Changes are pushed; what was
/// missed is read again once per retry interval. Without a session it knows nothing, and says so.
pub struct Observer {
    pub(crate) elector: Elector,
    pub(crate) key: Key,
    pub(crate) shared: Arc<Shared>,
}

impl Observer {
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

    /// What the election is in.
    pub fn state(&self) -> ElectionState {
        self.shared.election_state()
    }

    /// What the election does: how it stands now, then every change. A slow reader misses those that
    /// others have overtaken, never the last one. Ends with the elector.
    pub fn changes(&self) -> impl Stream<Item = Standing> + Send + Unpin + use<> {
        self.shared.changes()
    }

    /// The election's name.
    pub fn election(&self) -> &str {
        &self.shared.name
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.elector.inner.unobserve(&self.shared.name);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("election", &self.shared.name)
            .field("key", &self.key)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
