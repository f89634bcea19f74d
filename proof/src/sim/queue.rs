//! What will happen, by time; what was planned first comes first among equals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Time;

pub(super) struct Queue<E> {
    /// When, how many were planned before it, and where the event lies.
    heap: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    planned: u64,
}

impl<E> Queue<E> {
    pub(super) fn new() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            events: vec![],
            free: vec![],
            planned: 0,
        }
    }

    pub(super) fn plan(&mut self, at: Time, event: E) {
        let slot = self.free.pop().unwrap_or(self.events.len());
        if slot == self.events.len() {
            self.events.push(Some(event));
        } else {
            self.events[slot] = Some(event);
        }
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, slot)));
    }

    pub(super) fn next(&mut self) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot].take()?))
    }
}
