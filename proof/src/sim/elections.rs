//! What elections and candidates are called.

use std::sync::Arc;

use crate::engine::Key;

pub(super) fn name(election: Key) -> Arc<str> {
    format!("e{}", election.0).into()
}

pub(super) fn key(name: &str) -> Option<Key> {
    name.strip_prefix('e')?.parse().ok().map(Key)
}

/// That of all candidates of a machine.
pub(super) fn address(host: usize) -> Arc<str> {
    format!("m{host}").into()
}
