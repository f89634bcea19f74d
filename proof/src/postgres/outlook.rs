//! What is known of the terms of an election, on this server and by those who take part.

use std::time::Duration;

use super::tables::Term;
use super::{Flaw, Instance, Postgres};
use crate::engine::Heard;

/// So many numbers a timeline.
pub(super) const BLOCK: u64 = 10_000_000_000_000;
/// What was heard of may lie so many blocks beyond.
pub(super) const BEYOND: u64 = 16;
/// And fewer than so many beyond the timeline.
const FARTHEST: u64 = 100_000;
/// The longest lease that there can be.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    pub(super) last: u64,
    /// No term that begins here from now on has this number or a smaller one.
    pub(super) below: u64,
    /// How long the next term must wait if nothing else tells that the work of the last one has stopped, where that
    /// one began on this timeline.
    pub(super) wait: Duration,
    /// How long, from the proof that this server is the primary, the work of terms may run that began on others: a
    /// lost one after the last on record, where that began on another timeline; and one that was heard of and is not
    /// on record.
    pub(super) elsewhere: Duration,
    /// The greatest term on record or heard of, and the longest lease.
    pub(super) known: Heard,
    /// What the caller has heard of lies so far beyond what this server knows that it is not believed.
    pub(super) beyond: bool,
}

impl Postgres {
    pub(super) fn outlook(&self, election: i32, heard: Heard) -> Outlook {
        let last = self.tables.last_term(election);
        let its = self.tables.last(election);
        let below = self.below(last, its);
        let any_timeline = self.has(Flaw::VacateOfAnyTimeline);
        let is_here = match its {
            Some(term) => term.timeline == self.timeline || any_timeline,
            None => last == 0 && self.timeline == 1,
        };
        let farthest = (below / BLOCK + BEYOND).min(self.timeline + FARTHEST - 1);
        let is_believed = |heard: &Heard| heard.term > below && heard.term / BLOCK <= farthest;
        let beyond = heard.term > below && !is_believed(&heard);
        let candidates = || self.tables.candidates_of(election).map(|(_, row)| row);
        let believed: Vec<Heard> = candidates()
            .map(|row| row.heard)
            .filter(is_believed)
            .collect();
        let term = believed.iter().map(|heard| heard.term);
        let term = term.chain(is_believed(&heard).then_some(heard.term));
        let term = term.max().unwrap_or(0).max(last);
        let row = self.tables.elections.get(&election);
        let leases = candidates().map(|row| row.lease);
        let leases = leases.chain(believed.iter().map(|heard| heard.lease));
        let longest = leases.chain(row.and_then(|row| row.lease)).max();
        let longest = longest.unwrap_or(LONGEST);
        let wait = match its {
            _ if last == 0 => Duration::ZERO,
            Some(term) if is_here => {
                let over = term.vacated || (term.closed && self.has(Flaw::ClosedIsVacated));
                if over { Duration::ZERO } else { term.lease }
            }
            Some(term) if term.timeline < self.timeline => Duration::ZERO,
            // Nothing proves that the server is another one.
            _ => longest,
        };
        let lease = if heard.term > below {
            longest.max(heard.lease)
        } else {
            longest
        };
        let waits = term > below && !self.has(Flaw::RaisedWithoutWaiting);
        Outlook {
            last,
            below,
            wait,
            elsewhere: if is_here && !waits {
                Duration::ZERO
            } else {
                lease
            },
            known: Heard { term, lease },
            beyond,
        }
    }

    /// The last term's number, or the end of the blocks before the one in which the next term lies.
    fn below(&self, last: u64, its: Option<&Term>) -> u64 {
        let ahead = match its {
            Some(term) => self.timeline.saturating_sub(term.timeline),
            None if last == 0 => self.timeline - 1,
            None => self.timeline,
        };
        let block = (last / BLOCK + ahead).max(self.timeline - 1);
        if block > last / BLOCK {
            block * BLOCK
        } else {
            last
        }
    }

    /// No term of this election that begins here from now on has this number or a smaller one.
    pub(crate) fn floor(&self, election: &str) -> u64 {
        let id = self.tables.id(election).map_or(0, |id| id.0);
        self.below(self.tables.last_term(id), self.tables.last(id))
    }

    /// A candidate is told what others have heard of: from here on its row has it too, for they may take theirs back.
    pub(super) fn keep_heard(&mut self, election: i32, instance: Instance, known: Heard) {
        if self.has(Flaw::HeardNotRecorded) {
            return;
        }
        let row = self.tables.candidates.get_mut(&(election, instance));
        if let Some(row) = row.filter(|row| row.heard.term < known.term) {
            row.heard = known;
        }
    }

    pub(super) fn next_number(&self, outlook: &Outlook) -> u64 {
        if self.has(Flaw::NumberPlusOne) {
            return outlook.last + 1;
        }
        let block = if outlook.known.term > outlook.below {
            outlook.known.term / BLOCK + 1
        } else if outlook.below > outlook.last {
            outlook.below / BLOCK
        } else {
            return outlook.last + 1;
        };
        let time = if self.has(Flaw::NumberWithoutTime) {
            0
        } else {
            // A promotion takes longer than so many terms.
            self.promotions * 1_000_000
        };
        block * BLOCK + time + 1
    }
}
