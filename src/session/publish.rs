//! What everybody else gets to see: standings, and the log.

use std::sync::Arc;

use super::statements::Seen;
use crate::clock;
use crate::protocol::{Bar, Notice, Timings};
use crate::standing::{ElectionState, Shared, Snapshot, WaitingFor};
use crate::term::TermState;

/// An election stands as it was read; `None`: nobody has ever joined it.
pub(crate) fn seen(
    shared: &Shared,
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
        state: ElectionState::Vacant,
        address: None,
        bar: None,
        called: false,
    });
    let now = clock::now();
    let fresh = last.known_until.since(now) > timings.patience() / 2;
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
            known_until: now + timings.patience(),
        });
    }
}

/// What this candidate waits for has changed.
pub(crate) fn waits(shared: &Shared, waiting_for: Option<WaitingFor>) {
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
pub(crate) fn leads(shared: &Shared, term: Arc<TermState>, address: &str, state: ElectionState) {
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
pub(crate) fn vacant(shared: &Shared, timings: &Timings) {
    let term = shared.snapshot().term;
    shared.publish(Snapshot {
        own: None,
        term,
        state: ElectionState::Vacant,
        address: None,
        waiting_for: None,
        known_until: clock::now() + timings.patience(),
    });
}

/// Nothing is known any more.
pub(crate) fn unknown(shared: &Shared) {
    let term = shared.snapshot().term;
    shared.publish(Snapshot {
        term,
        ..Snapshot::default()
    });
}

/// Transitions at info, what needs a person at warn.
pub(crate) fn tell(name: &str, address: &str, notice: &Notice) {
    let election = name;
    match notice {
        Notice::Stranger { pid: Some(pid), .. } => tracing::warn!(
            election,
            address,
            pid,
            "the leadership is held by a session that is no candidate: nobody can lead until it ends"
        ),
        Notice::Stranger { pid: None, .. } => {
            tracing::info!(election, address, "the stranger has let the leadership go");
        }
        Notice::Barred { bar, .. } => match bar {
            None => tracing::info!(election, address, "may lead again"),
            Some(Bar::Suspended) => tracing::info!(
                election,
                address,
                "the election is suspended: nobody leads until pgleader.resume"
            ),
            Some(Bar::Excluded) => tracing::info!(
                election,
                address,
                "this address is excluded: it does not lead until pgleader.include"
            ),
            Some(Bar::Transfer) => {
                tracing::info!(
                    election,
                    address,
                    "the next term is to be another candidate's"
                );
            }
            Some(Bar::Outranked) => {
                tracing::debug!(election, address, "making way for a higher priority");
            }
            Some(Bar::Unknown) => tracing::warn!(
                election,
                address,
                "what operators ask for cannot be read, so nobody may begin a term: pgleader.request is locked"
            ),
        },
        Notice::Waiting {
            last_term, at_most, ..
        } => tracing::info!(
            election,
            address,
            term = last_term,
            at_most_ms = at_most.as_millis(),
            "won, and waiting: the last term's work may still run"
        ),
        Notice::Spared { last_term, why, .. } => {
            tracing::info!(
                election,
                address,
                term = last_term,
                "no need to wait: {why}"
            );
        }
        Notice::Fenced { .. } => {
            tracing::info!(
                election,
                address,
                "waiting for fenced transactions of past terms; the sessions of those that outlast the refractory \
                 period are ended"
            );
        }
        Notice::FencedEnded {
            ended,
            remaining: 0,
            ..
        } => tracing::warn!(
            election,
            address,
            ended,
            "fenced transactions of past terms stood in the way for too long: ended them"
        ),
        Notice::FencedEnded {
            ended, remaining, ..
        } => tracing::warn!(
            election,
            address,
            ended,
            remaining,
            "fenced transactions of past terms stand in the way, and this role may not end them or they are \
             prepared or may be behind pgpool-II: see pgleader.fenced; grant pg_signal_backend to the schema's \
             owner, or end them by hand, at their client where pgpool-II is between"
        ),
        Notice::Evicting { term, .. } => {
            tracing::warn!(
                election,
                address,
                term,
                "the leader was silent for its lease: ending its session"
            );
        }
        Notice::Deposed { term, why, .. } => {
            tracing::warn!(election, address, term, "deposed: {why}");
        }
        Notice::Vacated { term, ending, .. } => {
            tracing::info!(election, address, term, ending = ?ending, "the term is vacated");
        }
        Notice::OutOfGrace { term, .. } => {
            tracing::warn!(
                election,
                address,
                term,
                "the work did not stop within the grace: dropping it"
            );
        }
    }
}
