//! One of the two servers.

use super::step::{Outcome, Step};

/// Does what it is told, and tells what came of it.
pub(super) trait Side {
    fn step(&mut self, step: &Step) -> crate::Result<Outcome>;
}
