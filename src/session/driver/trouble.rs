//! What keeps this process from having a session.

use tracing::Level;

use super::Driver;
use crate::error::Error;

/// What was said last: the same is said once, not with each retry.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failure: Option<String>,
    /// The hosts that accept writes, where they are several.
    pub(super) writable: Vec<String>,
}

impl Driver {
    pub(super) fn not_opened(&mut self, error: &Error) {
        let said = error.to_string();
        if self.trouble.failure.as_ref() == Some(&said) {
            self.say(Level::DEBUG, format!("still no session: {said}"));
        } else {
            self.say(Level::WARN, format!("no session: {said}; trying again"));
            self.trouble.failure = Some(said);
        }
    }

    pub(super) fn no_more_trouble(&mut self) {
        self.trouble.failure = None;
    }
}
