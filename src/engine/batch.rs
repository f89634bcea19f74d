//! The outputs of one event, until all that comes of it is known.

use super::Output;

/// What one event asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// First of all: what is shown refers to it.
    pub(super) begun: Vec<Output>,
    /// Who looks while the work starts finds it in office.
    pub(super) shown: Vec<Output>,
    pub(super) done: Vec<Output>,
}
