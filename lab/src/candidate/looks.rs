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

/// A term that is looked at.
pub(super) struct Watched {
    term: Term,
    claims: Claims,
    /// How often it has been found over.
    over: u32,
}

impl Seat {
    /// What it says of this term is written down, until it has been over for long.
    pub(super) fn watch(&self, term: &Term) {
        lock(&self.terms).push(Watched {
            term: term.clone(),
            claims: Claims::default(),
            over: 0,
        });
    }
}

/// For ever. Of many claims one in `every` is written down, and the first and the last in any case: what is true of these
/// was true in between.
pub(super) fn look(diary: &Diary, seats: &[Arc<Seat>], every: u32) {
    let mut leads = vec![Claims::default(); seats.len()];
    loop {
        for (seat, leads) in seats.iter().zip(&mut leads) {
            at_the_candidacy(diary, seat, leads, every);
            at_its_terms(diary, seat, every);
        }
        std::thread::sleep(LOOKS);
    }
}

/// What has been claimed, look after look.
#[derive(Clone, Default)]
struct Claims {
    count: u32,
    /// From when to when the last was made, where it is not written down.
    unwritten: Option<(u64, u64)>,
}

impl Claims {
    /// One that was made again, or not. From when to when is to be written down.
    fn note(&mut self, yes: bool, made: (u64, u64), every: u32) -> Option<(u64, u64)> {
        if !yes {
            self.count = 0;
            return self.unwritten.take();
        }
        let due = self.count.is_multiple_of(every);
        self.count = self.count.wrapping_add(1);
        self.unwritten = (!due).then_some(made);
        due.then_some(made)
    }
}

fn at_the_candidacy(diary: &Diary, seat: &Seat, claims: &mut Claims, every: u32) {
    let candidacy = lock(&seat.candidacy).clone();
    let from = now();
    let leads = candidacy.is_some_and(|candidacy| candidacy.state() != ProcessState::Following);
    let to = now();
    if let Some((from, to)) = claims.note(leads, (from, to), every) {
        let election = seat.election.clone();
        diary.write(&Entry::Leading { from, to, election });
    }
}

fn at_its_terms(diary: &Diary, seat: &Seat, every: u32) {
    lock(&seat.terms).retain_mut(|watched| {
        let from = now();
        let yes = watched.term.is_current();
        let to = now();
        let write = |(from, to), yes| {
            let (election, term) = (seat.election.clone(), watched.term.number());
            diary.write(&Entry::Current {
                from,
                to,
                election,
                term,
                yes,
            });
        };
        if let Some(claim) = watched.claims.note(yes, (from, to), every) {
            write(claim, true);
        }
        if !yes && watched.over == 0 {
            write((from, to), false);
        }
        watched.over += u32::from(!yes);
        watched.over < WATCHED
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of eight claims, and what is no claim after them, is written down.
    fn written(every: u32) -> Vec<u64> {
        let mut claims = Claims::default();
        let looks = (0..10).map(|at| (at, at < 8));
        let written = looks.filter_map(|(at, yes)| claims.note(yes, (at, at), every));
        written.map(|(from, _)| from).collect()
    }

    #[test]
    fn first_and_last_claims_are_written_down_and_some_in_between() {
        assert_eq!(written(1), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(written(3), [0, 3, 6, 7]);
        assert_eq!(written(100), [0, 7]);
    }
}
