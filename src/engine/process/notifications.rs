//! What a notification is worth: a look, sooner than the next one was due. Nothing that it says is believed.

use super::Process;
use crate::engine::candidacy::Place;
use crate::engine::{Instant, Key};

impl Process {
    pub(super) fn hinted(&mut self, now: Instant, key: Key) {
        let display = self.displays.get(key);
        let mut look = display.is_some_and(|display| display.observed);
        let place = self
            .candidacies
            .get_mut(key)
            .map(|candidacy| &mut candidacy.place);
        match place {
            Some(Place::Following(following)) if !following.successor => look = true,
            Some(Place::Following(_)) => self.try_soon(key, now),
            Some(Place::Waiting(waiting)) => waiting.hinted = true,
            Some(Place::Leading { .. }) => {
                if let Some(up) = self.up() {
                    up.hinted = true;
                }
            }
            _ => {}
        }
        if look {
            self.read(key);
        }
    }
}
