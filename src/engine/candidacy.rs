//! One election, as this process takes part in it.

use std::time::Duration;

use super::watch::Watch;
use super::{Bar, Counters, Ending, Instant};

/// A candidacy outlives sessions: only `place` belongs to the session of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidacy {
    /// Whether the way in which a session ended is believed.
    pub(crate) autopsy: bool,
    pub(crate) place: Place,
    /// The `lead` that runs, or has not stopped yet. While there is one, nobody campaigns here.
    pub(crate) work: Option<Work>,
    /// A term that is over, its work stopped or stopping, and not yet recorded as vacated.
    pub(crate) owed: Option<Owed>,
    /// When to try next, out of turn.
    pub(crate) try_at: Instant,
    /// No try before this: the others come first.
    pub(crate) hold_off: Instant,
    /// The candidacy ends; after this time without telling the database.
    pub(crate) leave_by: Option<Instant>,
    /// Somebody waits until what is held is given up.
    pub(crate) resigning: bool,
    /// What the query under way may bring is not wanted any more.
    pub(crate) declines: bool,
    /// The newest term heard of.
    pub(crate) seen_term: u64,
    pub(crate) stranger: Option<i32>,
    /// Why it may not lead, as last heard.
    pub(crate) bar: Option<Bar>,
}

/// Where a candidacy stands on the session of the moment. See the diagram in the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Absent,
    Joining,
    Following(Following),
    Waiting(Waiting),
    Leading {
        term: u64,
    },
    /// An orderly end: the lock is kept until the work has stopped (invariant 4).
    Ending {
        term: u64,
        ending: Ending,
    },
    /// Taken back; `told`: the database has answered.
    Leaving {
        told: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Following {
    pub(crate) successor: bool,
    /// How often to probe as the successor.
    pub(crate) probe_interval: Duration,
    pub(crate) watch: Option<Watch>,
    /// Nobody leads, and somebody else is the successor: from then on it is tried for all the same.
    pub(crate) overdue_at: Option<Instant>,
    /// When the leader's backend was last asked to end.
    pub(crate) evicted_at: Option<Instant>,
    /// Until then nobody who ranks higher is made way for: they had their time to come.
    pub(crate) insists_until: Instant,
}

/// The lock is ours; the work of the last term may still run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiting {
    pub(crate) last_term: u64,
    /// The end of the refractory period. What is fenced has until then, too.
    pub(crate) until: Instant,
    /// From when on it is known that the last term's work has stopped; the end of its lease where nothing tells.
    pub(crate) stopped_at: Instant,
    /// How long to wait for the work that other servers may have left behind, from the proof that this one is the
    /// primary; and until when that is. No evidence shortens it: what this server shows is not of that work.
    pub(crate) elsewhere: Duration,
    pub(crate) elsewhere_until: Instant,
    /// What the counters must still read when the backend is gone.
    pub(crate) evidence: Option<Counters>,
    /// When to look for the backend again.
    pub(crate) look_at: Instant,
    /// When to try to take office again, where fenced transactions stood in the way.
    pub(crate) try_at: Instant,
    /// A try to take office is under way.
    pub(crate) asking: bool,
    /// A notification may have told of a vacate.
    pub(crate) hinted: bool,
    /// Since when fenced transactions alone stand in the way.
    pub(crate) fenced_since: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub(crate) term: u64,
    pub(crate) cancelled: bool,
    pub(crate) drop_at: Instant,
    pub(crate) dropped: bool,
    pub(crate) abort_at: Instant,
    pub(crate) overran: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owed {
    pub(crate) term: u64,
    pub(crate) ending: Ending,
    /// A vacate is under way on the session of the moment.
    pub(crate) asked: bool,
    pub(crate) ask_at: Instant,
    /// Since when the database has refused it: a fenced transaction holds the term's row.
    pub(crate) refused_since: Option<Instant>,
    /// It was refused for a lease, its work having stopped, and bars nobody any more: whoever wins waits for a lease, and
    /// ends what is fenced.
    pub(crate) overdue: bool,
}

impl Candidacy {
    pub(crate) fn new(autopsy: bool, now: Instant) -> Self {
        Candidacy {
            autopsy,
            place: Place::Absent,
            work: None,
            owed: None,
            try_at: now,
            hold_off: now,
            leave_by: None,
            resigning: false,
            declines: false,
            seen_term: 0,
            stranger: None,
            bar: None,
        }
    }

    /// As an earlier machine of this process left it.
    pub(crate) fn returned(
        autopsy: bool,
        now: Instant,
        work: Option<Work>,
        owed: Option<Owed>,
    ) -> Self {
        Candidacy {
            work,
            owed,
            ..Candidacy::new(autopsy, now)
        }
    }

    /// Whether this process holds the leadership lock, whatever it does with it.
    pub(crate) fn holds_leadership(&self) -> bool {
        matches!(
            self.place,
            Place::Waiting(_) | Place::Leading { .. } | Place::Ending { .. }
        )
    }

    /// The term in which work may run now.
    pub(crate) fn term(&self) -> Option<u64> {
        match self.place {
            Place::Leading { term } | Place::Ending { term, .. } => Some(term),
            _ => None,
        }
    }

    pub(crate) fn is_successor(&self) -> bool {
        matches!(&self.place, Place::Following(following) if following.successor)
    }

    /// Whether it may try for the leadership, once it is time.
    pub(crate) fn may_campaign(&self) -> bool {
        matches!(self.place, Place::Following(_))
            && self.work.is_none()
            && self.owed.as_ref().is_none_or(|owed| owed.overdue)
            && self.leave_by.is_none()
    }

    /// Whether something has asked for a try since the last one was sent, which left `try_at` at never.
    pub(crate) fn is_called(&self) -> bool {
        self.try_at != Instant::NEVER
    }

    /// The lock that was won, and what is waited for.
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        match &self.place {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }
}

impl Work {
    pub(crate) fn new(term: u64) -> Self {
        Work {
            term,
            cancelled: false,
            drop_at: Instant::NEVER,
            dropped: false,
            abort_at: Instant::NEVER,
            overran: false,
        }
    }
}

impl Owed {
    pub(crate) fn new(term: u64, ending: Ending, ask_at: Instant) -> Self {
        Owed {
            term,
            ending,
            asked: false,
            ask_at,
            refused_since: None,
            overdue: false,
        }
    }
}

impl Waiting {
    /// For the work of `last_term`, which has stopped at `stopped_at`; nothing else stands in the way.
    pub(crate) fn until(last_term: u64, stopped_at: Instant) -> Self {
        Waiting {
            last_term,
            until: stopped_at,
            stopped_at,
            elsewhere: Duration::ZERO,
            elsewhere_until: Instant::default(),
            evidence: None,
            look_at: Instant::NEVER,
            try_at: Instant::default(),
            asking: false,
            hinted: false,
            fenced_since: None,
        }
    }
}
