//! From the actions of the rules to the outputs of the engine.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::Batch;
use super::desk::Resigning;
use super::handle::{Engine, InFlight};
use super::{Action, Candidature, Event, Instant, Key, Muddle, Notice, Output, Published, Query};

impl Engine {
    /// Take an event to the rules, and make outputs of their actions.
    pub(super) fn event(&mut self, now: Instant, event: Event) {
        self.looked = true;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.rules.handle(now, event);
            self.step();
            while let Some(action) = self.rules.poll() {
                self.step();
                events.extend(self.act(action));
            }
        }
        let until = self.rules.current_until();
        if let Some(until) =
            until.filter(|until| self.extended.is_none_or(|before| before < *until))
        {
            self.extended = Some(until);
            self.out.push_back(Output::Extend { until });
        }
        self.empty_batch();
    }

    /// Also where the rules have panicked half-way: what was noted as done is not done again.
    pub(super) fn empty_batch(&mut self) {
        let Batch { begun, shown, done } = std::mem::take(&mut self.batch);
        self.out.extend(begun.into_iter().chain(shown).chain(done));
    }

    /// What the rules must hear at once comes back.
    fn act(&mut self, action: Action) -> Option<Event> {
        let done = &mut self.batch.done;
        match action {
            Action::Publish { key, published } => {
                let published = self.with_own_address(key, published);
                self.batch.shown.push(Output::Publish { key, published });
            }
            Action::Connect => {
                let instance = self.instance.clone();
                let first = instance.is_none();
                let search = self.search();
                let open = Output::Open {
                    instance,
                    first,
                    search,
                };
                self.batch.done.push(open);
            }
            Action::Send { sent, query } => return self.send(sent, query),
            Action::Abandon => {
                done.push(Output::LetGo);
                self.forget_session();
            }
            Action::Start { key, term } => {
                let desk = self.desks.get_mut(key)?;
                desk.running = Some(term);
                desk.asked = None;
                let token = desk.token.take().unwrap_or_else(|| "".into());
                self.batch.begun.push(Output::Begin { key, term, token });
                done.push(Output::Start { key, term });
                self.said.push(Notice::TookOffice { key, term });
            }
            Action::Cancel { key } => done.push(Output::Cancel { key }),
            Action::Drop { key } => done.push(Output::Drop { key }),
            Action::Abort => done.push(Output::Abort),
            Action::GaveUp { key } => self.resigned(key),
            Action::Left { key } => {
                self.resigned(key);
                if let Some(desk) = self.desks.get_mut(key) {
                    (desk.candidature, desk.owed) = (None, None);
                    desk.leaves = false;
                }
                self.desks.close(key);
                self.batch.done.push(Output::Left { key });
            }
            Action::Finish => {
                let refused = false;
                done.extend([Output::Goodbye, Output::Finished { refused }]);
            }
            Action::Tell(notice) => {
                if let Notice::Vacated { key, term, .. } = notice {
                    let desk = self.desks.get_mut(key);
                    desk.and_then(|desk| desk.owed.take_if(|(owed, _)| *owed == term));
                }
                self.said.push(notice);
            }
        }
        None
    }

    /// What this process leads is at its own address.
    fn with_own_address(&self, key: Key, published: Published) -> Published {
        let desk = self.desks.get(key).filter(|_| published.own.is_some());
        let candidature = desk.and_then(|desk| desk.candidature.as_ref());
        let address = candidature.map(|candidature| Arc::clone(&candidature.address));
        Published {
            address: address.or(published.address),
            ..published
        }
    }

    fn send(&mut self, sent: Instant, query: Query) -> Option<Event> {
        let (mut query, mut never_joined) = (query, vec![]);
        match &mut query {
            Query::Vacate { terms } => {
                for &mut (key, term, ending) in terms {
                    if let Some(desk) = self.desks.get_mut(key) {
                        desk.owed = Some((term, ending));
                    }
                }
            }
            Query::Leave { keys } => {
                let unknown = |key: &mut Key| self.desks.id(*key).is_none();
                never_joined.extend(keys.extract_if(.., unknown));
            }
            _ => {}
        }
        let nothing = !never_joined.is_empty() && query == Query::Leave { keys: vec![] };
        if !nothing {
            let limit = self.setup.timings.slice();
            let Some(request) = self.desks.request(&query, limit) else {
                self.said.push(Notice::Muddled(Muddle::NeverJoined));
                return Some(Event::Disconnected);
            };
            self.in_flight.push_back(InFlight { sent, query });
            self.batch.done.push(Output::Send(request));
        }
        let keys = never_joined;
        (!keys.is_empty()).then_some(Event::NeverJoined { keys, sent })
    }

    pub(super) fn forget_session(&mut self) {
        self.in_flight.clear();
        (self.pid, self.extended) = (None, None);
        self.lookout.rest();
    }

    /// Whoever waits for it is told.
    fn resigned(&mut self, key: Key) {
        if let Some(desk) = self.desks.get_mut(key)
            && let Some(Resigning { term }) = desk.resigning.take()
            && let Some(Candidature {
                number: candidacy, ..
            }) = desk.candidature
        {
            self.batch.done.push(Output::Resigned {
                key,
                candidacy,
                term,
            });
        }
    }
}
