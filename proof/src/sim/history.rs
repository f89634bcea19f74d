//! What has happened: the last of it to be read, all of it in one number.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::clock::Time;
use super::fact::Fact;

/// So many of the last facts are kept to be read.
const KEPT: usize = 400;

pub(super) struct History {
    last: VecDeque<(Time, Fact)>,
    digest: DefaultHasher,
}

impl History {
    pub(super) fn new() -> History {
        History {
            last: VecDeque::new(),
            // Without a key of chance: the same facts give the same number.
            digest: DefaultHasher::new(),
        }
    }

    pub(super) fn add(&mut self, at: Time, fact: Fact) {
        (at, &fact).hash(&mut self.digest);
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back((at, fact));
    }

    /// Of everything that has happened.
    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(super) fn timeline(&self) -> String {
        let lines = self.last.iter();
        lines
            .map(|(at, fact)| fact.line(*at) + "\n")
            .collect::<String>()
    }
}
