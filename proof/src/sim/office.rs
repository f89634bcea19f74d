//! A term's work: what is known of it, and how it behaves.

use super::clock::Time;
use super::connection::Cid;
use crate::engine::Stop;

/// A term whose work was started here.
pub(super) struct Office {
    pub(super) term: u64,
    /// The connection whose socket the work keeps open.
    pub(super) cid: Cid,
    /// It still runs.
    pub(super) running: bool,
    /// The driver knows that it has stopped.
    pub(super) over: bool,
    pub(super) manner: Manner,
    /// It cannot be stopped before: it blocks its thread.
    pub(super) blocks_until: Time,
    /// How it is to stop.
    pub(super) stopping: Option<Stop>,
}

/// How work behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Manner {
    /// Stops when it is told.
    Obeys,
    /// Never hears that it is to stop: it is dropped at once.
    Deaf,
    /// Heard it and goes on until it is dropped.
    Stubborn,
    /// Blocks its thread now and then, for longer than its lease too.
    Blocks,
    Returns,
    Fails,
    Resigns,
}

/// What work does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ready,
    Ask,
    Fence,
    /// By itself.
    End(Manner),
    Stop(Stop),
}
