//! What will happen, by time; what was planned first comes first among equals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Time;

struct Planned<E> {
    at: (Time, u64),
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

pub(super) struct Queue<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    planned: u64,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(super) fn plan(&mut self, at: Time, event: E) {
        self.planned += 1;
        self.heap.push(Reverse(Planned {
            at: (at, self.planned),
            event,
        }));
    }

    pub(super) fn next(&mut self) -> Option<(Time, E)> {
        let Reverse(planned) = self.heap.pop()?;
        Some((planned.at.0, planned.event))
    }
}
