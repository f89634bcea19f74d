//! What a process says of itself, asked by a thread that waits for no task.

use std::sync::Arc;
use std::time::Duration;

use pg_leader::{ProcessState, Term};

use super::{Diary, Seat, lock};
use crate::record::{Entry, now};

/// Between two looks at what `state()` and `is_current()` say.
const LOOKS: Duration = Duration::from_millis(10);

/// So many looks a term is watched after it is over: it must stay over.
const WATCHED: u32 = 500;

impl Seat {
    /// What it says of this term is written down, until it has been over for long.
    pub(super) fn watch(&self, term: &Term) {
        lock(&self.terms).push((term.clone(), 0));
    }
}

/// For ever.
pub(super) fn look(diary: &Diary, seats: &[Arc<Seat>]) {
    loop {
        for seat in seats {
            at_the_candidacy(diary, seat);
            at_its_terms(diary, seat);
        }
        std::thread::sleep(LOOKS);
    }
}

fn at_the_candidacy(diary: &Diary, seat: &Seat) {
    if let Some(candidacy) = lock(&seat.candidacy).clone() {
        let from = now();
        let leads = candidacy.state() != ProcessState::Following;
        let to = now();
        if leads {
            let election = seat.election.clone();
            diary.write(&Entry::Leading { from, to, election });
        }
    }
}

fn at_its_terms(diary: &Diary, seat: &Seat) {
    lock(&seat.terms).retain_mut(|(term, over)| {
        let from = now();
        let yes = term.is_current();
        let to = now();
        if yes || *over == 0 {
            let (election, term) = (seat.election.clone(), term.number());
            diary.write(&Entry::Current {
                from,
                to,
                election,
                term,
                yes,
            });
        }
        *over += u32::from(!yes);
        *over < WATCHED
    });
}
