//! One election, as this process takes part in it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::evidence::Evidence;
use super::{Bar, Counters, Ending, Errand, Instant, Leash, Refused};

/// A candidacy outlives sessions: only `place` belongs to the session of the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Contender {
    /// Whether the way in which a session ended is believed.
    pub(crate) autopsy: bool,
    /// Whether the work is given time to stop by itself.
    pub(crate) graceful: bool,
    pub(crate) place: Place,
    /// The `lead` that runs, or has not stopped yet. While there is one, nobody campaigns here.
    pub(crate) work: Option<Work>,
    /// A term that is over, its work stopped or stopping, and not yet recorded as vacated.
    pub(crate) owed: Option<Owed>,
    /// The next try, out of turn.
    pub(crate) next_try: NextTry,
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
    pub(crate) stranger: Option<MetStranger>,
    /// How many of those that stood in the way could not be ended when it was asked last.
    pub(crate) left: u32,
    /// Why it may not lead, as last heard.
    pub(crate) bar: Option<Bar>,
    /// The server refuses this election, and no other for that.
    pub(crate) refusal: Option<Refusal>,
    /// The term whose work has recovered, which is not on record yet.
    pub(crate) recovered: Option<u64>,
}

/// What the server refuses of one election. It is tried again, less and less often.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub(crate) kind: Errand,
    pub(crate) refused: Refused,
    /// In a row.
    pub(crate) times: u32,
    /// Nothing is asked for it before.
    pub(crate) until: Instant,
}

/// Somebody who takes no part in the election and holds one of its locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MetStranger {
    pub(crate) who: Arc<str>,
    /// From then on it is asked to be ended.
    pub(crate) end_at: Instant,
}

/// Whether a try for the leadership is wanted, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NextTry {
    /// Nothing has asked for one since the last one was sent.
    Unasked,
    At(Instant),
}

impl NextTry {
    pub(crate) fn due(self) -> Instant {
        match self {
            NextTry::Unasked => Instant::NEVER,
            NextTry::At(at) => at,
        }
    }

    /// Then at the latest.
    pub(crate) fn bring_forward(&mut self, at: Instant) {
        *self = NextTry::At(self.due().min(at));
    }

    pub(crate) fn is_asked_for(self) -> bool {
        self != NextTry::Unasked
    }
}

/// Where a candidacy stands on the session of the moment. See the diagram in the module's doc.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Absent,
    /// To be joined, or asked for.
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
    pub(crate) watch: Option<Evidence>,
    /// Nobody leads, and somebody else is the successor: from then on it is tried for all the same.
    pub(crate) overdue_at: Option<Instant>,
    /// The silent leader of this term is to be evicted.
    pub(crate) evicts: Option<u64>,
    /// When the leader's backend was last asked to end.
    pub(crate) evicted_at: Option<Instant>,
    /// A stranger that has been there for a lease is to be ended.
    pub(crate) ends_strangers: bool,
    /// When it was last tried for anew at once, for it was let go meanwhile.
    pub(crate) let_go_at: Instant,
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
    /// A notification may have told of a vacate.
    pub(crate) hinted: bool,
    /// Since when fenced transactions alone stand in the way.
    pub(crate) fenced_since: Option<Instant>,
    /// They are to be ended.
    pub(crate) ends_fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) term: u64,
    pub(crate) leash: Leash,
    pub(crate) cancelled: bool,
    pub(crate) dropped: bool,
    pub(crate) overran: bool,
    /// Ends it by itself before this, it has hardly begun.
    pub(crate) brief_until: Option<Instant>,
    /// It has ended so.
    pub(crate) was_brief: bool,
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

impl Contender {
    pub(crate) fn new(autopsy: bool, graceful: bool, now: Instant) -> Self {
        Contender {
            autopsy,
            graceful,
            place: Place::Absent,
            work: None,
            owed: None,
            next_try: NextTry::At(now),
            hold_off: now,
            leave_by: None,
            resigning: false,
            declines: false,
            seen_term: 0,
            stranger: None,
            left: 0,
            bar: None,
            refusal: None,
            recovered: None,
        }
    }

    /// It is not asked for this before. What tells of a term that was, or is over, and what is on the way to one hold
    /// each other up in nothing.
    pub(crate) fn refused_until(&self, kind: Errand) -> Instant {
        let tells = |kind| matches!(kind, Errand::Ready | Errand::Vacate | Errand::Leave);
        let refusal = self.refusal.as_ref();
        let refusal = refusal
            .filter(|refusal| refusal.kind == kind || (!tells(refusal.kind) && !tells(kind)));
        refusal.map_or(Instant::default(), |refusal| refusal.until)
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

    /// Where its work ends, and nobody has asked for it: whether it had hardly begun.
    pub(crate) fn note_brevity(&mut self, now: Instant, term: u64) {
        let by_itself = self.place == (Place::Leading { term });
        if let Some(work) = self.work.as_mut().filter(|_| by_itself) {
            work.was_brief = work.brief_until.is_some_and(|until| now < until);
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

    /// The lock that was won, and what is waited for.
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        match &self.place {
            Place::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }
}

impl Work {
    pub(crate) fn new(term: u64, leash: Leash) -> Self {
        Work {
            term,
            leash,
            cancelled: false,
            dropped: false,
            overran: false,
            brief_until: None,
            was_brief: false,
        }
    }
}

/// How long a term has lasted does not tell states apart: the steady state is to be a circle.
impl Hash for Work {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.term, &self.leash).hash(state);
        (self.cancelled, self.dropped, self.overran, self.was_brief).hash(state);
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
            hinted: false,
            fenced_since: None,
            ends_fenced: false,
        }
    }
}
