//! What keeps this process from having a session.

use tracing::Level;

use super::Driver;
use crate::error::Error;
use crate::session::publish;
use crate::standing::WaitingFor;

/// The last failure to open a session: the same one is said once, not with each retry.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<String>);

impl Driver {
    pub(super) fn not_opened(&mut self, error: &Error) {
        let said = error.to_string();
        if self.trouble.0.as_ref() == Some(&said) {
            self.say(Level::DEBUG, format!("still no session: {said}"));
        } else {
            self.say(Level::WARN, format!("no session: {said}; trying again"));
            self.trouble.0 = Some(said);
        }
        let waiting_for = error.is_schema().then_some(WaitingFor::Schema);
        for election in self.memory.elections.values() {
            publish::waits(&election.shared, waiting_for);
        }
    }

    pub(super) fn no_more_trouble(&mut self) {
        self.trouble.0 = None;
    }
}
