//! What everybody else gets to see: derived from what is known, and told before anything else is done.

use std::sync::Arc;

use super::Process;
use super::phase::Phase;
use crate::engine::candidacy::{Contender, Place, Waiting};
use crate::engine::{
    Action, Display, ElectionState, Instant, Key, Published, Reply, Row, Try, WaitingFor,
};

impl Process {
    /// What differs from what was published last goes before the other actions from `first` on: who looks while the
    /// work starts finds it in office.
    pub(super) fn publish(&mut self, now: Instant, first: usize) {
        let mut touched = self.displays.take_touched(now);
        touched.extend(self.candidacies.touched());
        let mut published = vec![];
        for key in touched {
            let Some(news) = self.news(now, key) else {
                continue;
            };
            self.displays.published(key, news.clone());
            published.push(Action::Publish {
                key,
                published: news,
            });
        }
        let done = self.actions.split_off(first);
        self.actions.extend(published);
        self.actions.extend(done);
    }

    /// What is to be published of an election. The same, read again, is published when it is believed for short only.
    fn news(&self, now: Instant, key: Key) -> Option<Published> {
        let display = self.displays.get(key)?;
        let standing = self.standing(now, key, display);
        let Some(last) = &display.published else {
            return Some(standing);
        };
        let fresh = last.known_until > now + self.timings.stale_belief()
            || standing.known_until <= last.known_until;
        (!fresh || !last.says_the_same(&standing)).then_some(standing)
    }

    /// How an election stands, as far as this process knows.
    pub(super) fn standing(&self, now: Instant, key: Key, display: &Display) -> Published {
        let unknown = Published {
            term: display.term.max(self.heard_of(key).term),
            ..Published::default()
        };
        if !matches!(self.session, Phase::Up(_)) {
            return Published {
                waiting_for: self.displays.trouble,
                ..unknown
            };
        }
        let candidacy = self.candidacies.get(key);
        if let Some(term) = candidacy.and_then(Contender::in_office) {
            return Published {
                own: Some(term),
                term,
                state: match display.ready {
                    Some(ready) if ready == term => ElectionState::Leading,
                    _ => ElectionState::Recovering,
                },
                ..Published::default()
            };
        }
        let row = display.row.as_ref();
        let refused = candidacy.and_then(|candidacy| candidacy.refusal.as_ref());
        let refused = refused
            .map(|refusal| &refusal.refused)
            .or(display.refused.as_ref());
        let waiting_for = match (refused, candidacy) {
            (Some(refused), _) => Some(refused.waiting_for()),
            (None, Some(candidacy)) => candidacy.waiting_for(now),
            (None, None) => row.and_then(|(row, _)| row.bar?.waiting_for()),
        };
        let refusal = refused.map(|refused| Arc::clone(&refused.why));
        match row.filter(|(_, until)| now < *until) {
            Some((row, until)) => Published {
                own: None,
                term: row.term,
                state: row.state,
                address: row.address.clone(),
                waiting_for,
                refusal,
                known_until: *until,
            },
            // Nothing was read, or too long ago: whoever listens is told that nothing is known.
            None => Published {
                waiting_for,
                refusal,
                ..unknown
            },
        }
    }

    /// What an answer shows of elections beside what it answers.
    pub(super) fn note_rows(&mut self, now: Instant, rows: Vec<(Key, Option<Row>)>, reply: &Reply) {
        let until = now + self.timings.belief();
        for (key, row) in rows {
            let row = match row {
                Some(row) if leads_no_more(reply, key) => Some(Row {
                    bar: row.bar,
                    ..Row::vacant(row.term)
                }),
                row => row,
            };
            self.displays.read(key, row, until);
        }
    }
}

/// A leader on record whose lock somebody else holds, or nobody.
fn leads_no_more(reply: &Reply, key: Key) -> bool {
    let Reply::Campaigned { tries } = reply else {
        return false;
    };
    tries.iter().any(|(tried, outcome)| {
        *tried == key && matches!(outcome, Try::Held(held) if held.holder_pid != held.leader_pid)
    })
}

impl Contender {
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
        let stranger = self.stranger.as_ref().map(|_| WaitingFor::Stranger);
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
