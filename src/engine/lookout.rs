//! What a process knows of the other hosts of its connection string, and when it looks again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::jitter::Jitter;
use super::rivals::Rivals;
use super::{Instant, Key};

/// What was seen outlives sessions.
#[derive(Clone, Debug)]
pub(super) struct Lookout {
    pub(super) rivals: Rivals,
    pub(super) jitter: Jitter,
    /// The next look.
    pub(super) due: Instant,
    /// One is under way.
    pub(super) looking: bool,
    /// What it is about, or the last one was.
    pub(super) asked: Vec<(Key, Arc<str>)>,
    /// The hosts that accept writes, where they are several, as was said last.
    pub(super) writable: Vec<String>,
}

impl Lookout {
    /// `seed` is for jitter.
    pub(super) fn new(seed: u64) -> Self {
        Lookout {
            rivals: Rivals::default(),
            jitter: Jitter::new(seed),
            due: Instant::NEVER,
            looking: false,
            asked: vec![],
            writable: vec![],
        }
    }

    /// The session is gone.
    pub(super) fn rest(&mut self) {
        (self.due, self.looking) = (Instant::NEVER, false);
    }
}

/// What only names something does not tell states apart.
impl Hash for Lookout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.rivals, self.due, self.looking).hash(state);
        for (key, _) in &self.asked {
            key.hash(state);
        }
    }
}
