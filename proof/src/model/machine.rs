//! A state machine under the checker: the shipped one, or one broken on purpose.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use crate::engine::{Action, Event, Instant, Process, Timings};

/// What the checker asks of a state machine. The shipped one has it as it is.
pub(crate) trait Machine: Debug + Send + Sync {
    fn handle(&mut self, now: Instant, event: Event);
    fn poll(&mut self) -> Option<Action>;
    fn deadline(&self) -> Instant;
    /// A new machine, that has heard what this one has.
    fn renewed(&self, timings: &Timings) -> Box<dyn Machine>;
    fn boxed(&self) -> Box<dyn Machine>;
    fn hash_into(&self, hasher: &mut dyn Hasher);
}

/// Makes the machine of one process.
pub(crate) type Make = fn(Timings) -> Box<dyn Machine>;

macro_rules! machine {
    ($process:ty) => {
        impl $crate::model::Machine for $process {
            fn handle(&mut self, now: $crate::engine::Instant, event: $crate::engine::Event) {
                <$process>::handle(self, now, event);
            }

            fn poll(&mut self) -> Option<$crate::engine::Action> {
                <$process>::poll(self)
            }

            fn deadline(&self) -> $crate::engine::Instant {
                <$process>::deadline(self)
            }

            fn renewed(
                &self,
                timings: &$crate::engine::Timings,
            ) -> Box<dyn $crate::model::Machine> {
                let heard = self.heard().clone();
                Box::new(<$process>::new(timings.clone(), 0).remembering(heard))
            }

            fn boxed(&self) -> Box<dyn $crate::model::Machine> {
                Box::new(self.clone())
            }

            fn hash_into(&self, mut hasher: &mut dyn std::hash::Hasher) {
                std::hash::Hash::hash(self, &mut hasher);
            }
        }
    };
}
pub(crate) use machine;

machine!(Process);

/// The shipped machine. Seed 0: every jitter is the middle of its range.
pub(crate) fn shipped(timings: Timings) -> Box<dyn Machine> {
    Box::new(Process::new(timings, 0))
}

impl Clone for Box<dyn Machine> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

impl Hash for Box<dyn Machine> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash_into(state);
    }
}
