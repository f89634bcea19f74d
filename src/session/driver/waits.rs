//! What a candidate waits for before it may lead, put together from what the state machine tells.

use crate::engine::{Bar, Notice};
use crate::standing::WaitingFor;

#[derive(Debug, Default)]
pub(super) struct Waits {
    bar: Option<Bar>,
    /// The lock is ours.
    office: Option<WaitingFor>,
    stranger: bool,
}

impl Waits {
    /// Whether the notice is about waiting.
    pub(super) fn note(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Barred { bar, .. } => {
                self.bar = *bar;
                self.office = None;
            }
            Notice::Declined { .. } => self.office = None,
            Notice::Stranger { pid, .. } => self.stranger = pid.is_some(),
            Notice::Waiting { .. } => self.office = Some(WaitingFor::RefractoryPeriod),
            Notice::Fenced { .. } => self.office = Some(WaitingFor::FencedTransactions),
            _ => return false,
        }
        true
    }

    /// The lock is not ours any more, or in use.
    pub(super) fn leave_office(&mut self) {
        self.office = None;
    }

    pub(super) fn waiting_for(&self) -> Option<WaitingFor> {
        let stranger = self.stranger.then_some(WaitingFor::Stranger);
        self.bar.and_then(for_bar).or(self.office).or(stranger)
    }
}

/// What lifts a bar.
pub(super) fn for_bar(bar: Bar) -> Option<WaitingFor> {
    match bar {
        Bar::Suspended => Some(WaitingFor::Resume),
        Bar::Excluded => Some(WaitingFor::Inclusion),
        Bar::Transfer => Some(WaitingFor::Transfer),
        Bar::Outranked => Some(WaitingFor::HigherPriority),
        Bar::Beyond => Some(WaitingFor::AnotherServer),
        Bar::Elsewhere => Some(WaitingFor::AnotherHost),
        Bar::Unknown => None,
    }
}
