//! An engine under the checker or in the simulator: the shipped one, or one broken on purpose.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::engine::{Engine, Input, Instant, Output, Setup};

/// What is asked of an engine. The shipped one has it as it is.
pub(crate) trait Machine: Debug + Send + Sync {
    fn handle(&mut self, now: Instant, input: Input);
    fn poll(&mut self) -> Option<Output>;
    fn poll_timeout(&self) -> Instant;
    fn look_every(&self) -> Duration;
    fn interrupt(&mut self);
    fn boxed(&self) -> Box<dyn Machine>;
    fn hash_into(&self, hasher: &mut dyn Hasher);
}

/// Makes the engine of one process. With seed 0 every jitter is the middle of its range.
pub(crate) type Make = fn(Setup, u64) -> Box<dyn Machine>;

macro_rules! machine {
    ($engine:ty) => {
        impl $crate::machine::Machine for $engine {
            fn handle(&mut self, now: $crate::engine::Instant, input: $crate::engine::Input) {
                <$engine>::handle(self, now, input);
            }

            fn poll(&mut self) -> Option<$crate::engine::Output> {
                <$engine>::poll(self)
            }

            fn poll_timeout(&self) -> $crate::engine::Instant {
                <$engine>::poll_timeout(self)
            }

            fn look_every(&self) -> std::time::Duration {
                <$engine>::look_every(self)
            }

            fn interrupt(&mut self) {
                <$engine>::interrupt(self);
            }

            fn boxed(&self) -> Box<dyn $crate::machine::Machine> {
                Box::new(self.clone())
            }

            fn hash_into(&self, mut hasher: &mut dyn std::hash::Hasher) {
                std::hash::Hash::hash(self, &mut hasher);
            }
        }
    };
}
#[cfg(feature = "mutants")]
pub(crate) use machine;

machine!(Engine);

/// The shipped engine.
pub(crate) fn shipped(setup: Setup, seed: u64) -> Box<dyn Machine> {
    Box::new(Engine::new(setup, seed))
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
