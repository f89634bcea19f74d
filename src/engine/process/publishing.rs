//! What everybody else gets to see: derived from what is known, and told before anything else is done.

use super::Process;
use super::session::Session;
use crate::engine::candidacy::{Candidacy, Place, Waiting};
use crate::engine::{
    Action, Answer, Desk, ElectionState, Instant, Key, Published, Row, Try, WaitingFor,
};

impl Process {
    /// What differs from what was published last goes before the other actions from `first` on: who looks while the
    /// work starts finds it in office.
    pub(super) fn publish(&mut self, now: Instant, first: usize) {
        let mut at = first;
        for key in self.desks.desks.keys().copied().collect::<Vec<_>>() {
            let Some(published) = self.news(now, key) else {
                continue;
            };
            if let Some(desk) = self.desks.desks.get_mut(&key) {
                desk.published = published.clone();
            }
            self.actions.insert(at, Action::Publish { key, published });
            at += 1;
        }
    }

    /// What is to be published of an election. The same, read again, is published when it is believed for short only.
    fn news(&self, now: Instant, key: Key) -> Option<Published> {
        let desk = self.desks.desks.get(&key)?;
        let standing = self.standing(now, key, desk);
        let last = &desk.published;
        let fresh = last.known_until > now + self.timings.stale_belief()
            || standing.known_until <= last.known_until;
        (!fresh || !last.says_the_same(&standing)).then_some(standing)
    }

    /// How an election stands, as far as this process knows.
    pub(super) fn standing(&self, now: Instant, key: Key, desk: &Desk) -> Published {
        let unknown = Published {
            term: desk.term.max(self.heard_of(key).term),
            ..Published::default()
        };
        if !matches!(self.session, Session::Up(_)) {
            return Published {
                waiting_for: self.desks.trouble,
                ..unknown
            };
        }
        let candidacy = self.candidacies.get(&key);
        if let Some(term) = candidacy.and_then(Candidacy::in_office) {
            return Published {
                own: Some(term),
                term,
                state: match desk.ready {
                    Some(ready) if ready == term => ElectionState::Leading,
                    _ => ElectionState::Recovering,
                },
                ..Published::default()
            };
        }
        let row = desk.row.as_ref();
        let waiting_for = match candidacy {
            Some(candidacy) => candidacy.waiting_for(now),
            None => row.and_then(|(row, _)| row.bar?.waiting_for()),
        };
        match row {
            Some((row, until)) => Published {
                own: None,
                term: row.term,
                state: row.state,
                address: row.address.clone(),
                waiting_for,
                known_until: *until,
            },
            None => Published {
                waiting_for,
                ..unknown
            },
        }
    }

    /// What an answer shows of elections beside what it answers.
    pub(super) fn note_rows(
        &mut self,
        now: Instant,
        rows: Vec<(Key, Option<Row>)>,
        answer: &Answer,
    ) {
        let until = now + self.timings.belief();
        for (key, row) in rows {
            let row = match row {
                Some(row) if leads_no_more(answer, key) => Some(Row {
                    bar: row.bar,
                    ..Row::vacant(row.term)
                }),
                row => row,
            };
            self.desks.read(key, row, until);
        }
    }
}

/// A leader on record whose lock somebody else holds, or nobody.
fn leads_no_more(answer: &Answer, key: Key) -> bool {
    let Answer::Campaigned { tries } = answer else {
        return false;
    };
    tries.iter().any(|(tried, outcome)| {
        *tried == key && matches!(outcome, Try::Held(held) if held.holder_pid != held.leader_pid)
    })
}

impl Candidacy {
    /// The term whose work runs, and whose lock is held.
    pub(super) fn in_office(&self) -> Option<u64> {
        let work = self.work.as_ref()?.term;
        self.term().filter(|term| *term == work)
    }

    /// What stands in the way of its leading, beside another's leading.
    fn waiting_for(&self, now: Instant) -> Option<WaitingFor> {
        let bar = self.bar.and_then(|bar| bar.waiting_for());
        let office = match &self.place {
            Place::Waiting(waiting) => waiting.waiting_for(now),
            _ => None,
        };
        let stranger = self.stranger.map(|_| WaitingFor::Stranger);
        bar.or(office).or(stranger)
    }
}

impl Waiting {
    fn waiting_for(&self, now: Instant) -> Option<WaitingFor> {
        if self.fenced_since.is_some() {
            Some(WaitingFor::FencedTransactions)
        } else {
            let over = self.stopped_at.max(self.elsewhere_until);
            (now < over).then_some(WaitingFor::RefractoryPeriod)
        }
    }
}
