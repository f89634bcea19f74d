//! What everybody else gets to see: standings.

use std::sync::Arc;

use super::statements::Seen;
use crate::clock;
use crate::engine::Timings;
use crate::standing::{ElectionState, Shared, Snapshot, WaitingFor};
use crate::term::TermState;

/// An election stands as it was read; `None`: nobody has ever joined it.
pub(crate) fn seen(
    shared: &Arc<Shared>,
    seen: Option<Seen>,
    waiting_for: Option<WaitingFor>,
    timings: &Timings,
) {
    let last = shared.snapshot();
    if last.own.is_some() {
        return;
    }
    let seen = seen.unwrap_or(Seen {
        term: 0,
        lease: None,
        state: ElectionState::Vacant,
        address: None,
        bar: None,
        called: false,
    });
    let now = clock::now();
    let fresh = last.known_until.since(now) > timings.stale_belief();
    let same = last.term == seen.term
        && last.state == seen.state
        && last.address == seen.address
        && last.waiting_for == waiting_for;
    if !(same && fresh) {
        shared.publish(Snapshot {
            own: None,
            term: seen.term,
            state: seen.state,
            address: seen.address,
            waiting_for,
            known_until: now + timings.belief(),
        });
    }
}

/// What this candidate waits for has changed.
pub(crate) fn waits(shared: &Arc<Shared>, waiting_for: Option<WaitingFor>) {
    let last = shared.snapshot();
    if last.own.is_none() && last.waiting_for != waiting_for {
        shared.publish(Snapshot {
            own: None,
            term: last.term,
            state: last.state,
            address: last.address.clone(),
            waiting_for,
            known_until: last.known_until,
        });
    }
}

/// This process is in office.
pub(crate) fn leads(
    shared: &Arc<Shared>,
    term: Arc<TermState>,
    address: &str,
    state: ElectionState,
) {
    shared.publish(Snapshot {
        term: term.number,
        own: Some(term),
        state,
        address: Some(address.to_owned()),
        waiting_for: None,
        known_until: clock::now(),
    });
}

/// This process is out of office, or waits to take it: nobody leads, as far as it knows.
pub(crate) fn vacant(shared: &Arc<Shared>, timings: &Timings) {
    let term = shared.snapshot().term;
    shared.publish(Snapshot {
        own: None,
        term,
        state: ElectionState::Vacant,
        address: None,
        waiting_for: None,
        known_until: clock::now() + timings.belief(),
    });
}

/// Nothing is known any more.
pub(crate) fn unknown(shared: &Arc<Shared>) {
    let term = shared.snapshot().term;
    shared.publish(Snapshot {
        term,
        ..Snapshot::default()
    });
}
