//! What comes to the driver, made an event of the state machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use tokio_postgres::Notification;

use super::line::{Heard, Line};
use super::open::Opened;
use super::waits::{Waits, for_bar};
use super::{Command, Driver, Election};
use crate::clock;
use crate::error::Error;
use crate::leash::Leash;
use crate::protocol::{Event, Key};
use crate::session::connect::Session;
use crate::session::publish;
use crate::session::queries::Reply;
use crate::standing::{ElectionState, Shared};

impl Driver {
    pub(super) fn opened(&mut self, opened: Result<Opened, Error>) -> Option<Event> {
        self.opening = None;
        let Opened {
            session,
            link,
            instance,
        } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                match self.first.take() {
                    Some(first) => {
                        let _ = first.send(Err(error));
                        self.finished = true;
                    }
                    None => tracing::warn!("no session: {error}; trying again"),
                }
                return Some(Event::Disconnected);
            }
        };
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
        tracing::debug!(pid = session.pid, direct = session.direct, "connected");
        self.instance = Some(instance.into());
        let Session {
            messages,
            socket,
            pid,
            direct,
            ..
        } = session;
        let leash = Arc::new(Leash::new(&self.timings, clock::now()));
        self.line = Some(Line {
            messages,
            queries: FuturesUnordered::new(),
            link: Arc::new(link),
            socket,
            pid,
            direct,
            leash,
        });
        Some(Event::Connected)
    }

    pub(super) fn heard(&mut self, heard: Heard) -> Option<Event> {
        match heard {
            Heard::Reply(reply) => self.replied(*reply),
            Heard::Notifications(notifications) => self.notified(&notifications),
            Heard::End(error) => {
                match error {
                    Some(error) => {
                        tracing::warn!("the session ended: {}", Error::session("listening", error))
                    }
                    None => tracing::warn!("the session ended"),
                }
                self.hang_up();
                Some(Event::Disconnected)
            }
        }
    }

    pub(super) fn replied(&mut self, reply: Reply) -> Option<Event> {
        let answer = match reply.answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!("the session is given up: {error}");
                self.hang_up();
                return Some(Event::Disconnected);
            }
        };
        if let Some((key, id)) = reply.joined
            && let Some(election) = self.elections.get_mut(&key)
        {
            election.id = Some(id);
        }
        for (key, term, request) in reply.requests {
            if let Some(election) = self.elections.get_mut(&key)
                && let Some(office) = &election.office
                && office.state.number == term
            {
                // The first one ends the term.
                election.request.get_or_insert(Arc::new(request));
            }
        }
        for (key, seen) in reply.seen {
            if let Some(election) = self.elections.get(&key) {
                let waiting_for = match &election.candidate {
                    Some(_) => election.waits.waiting_for(),
                    None => seen.as_ref().and_then(|seen| seen.bar).and_then(for_bar),
                };
                publish::seen(&election.shared, seen, waiting_for, &self.timings);
            }
        }
        Some(Event::Answered {
            sent: reply.sent,
            answer,
        })
    }

    /// Anyone may send notifications: of these no more is used than which elections to look at.
    pub(super) fn notified(&self, notifications: &[Notification]) -> Option<Event> {
        let line = self.line.as_ref()?;
        let mut keys = BTreeSet::new();
        for notification in notifications {
            // The rest of a flood tells nothing new.
            if keys.len() == self.elections.len() {
                break;
            }
            let ours = line.pid == notification.process_id();
            if !ours && notification.channel() == "pg_leader" {
                keys.extend(self.election_in(notification.payload()));
            }
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        (!keys.is_empty()).then_some(Event::Hint { keys })
    }

    pub(super) fn election_in(&self, payload: &str) -> Option<Key> {
        let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
        let name = payload.get("election")?.as_str()?;
        let mut elections = self.elections.iter();
        let (key, _) = elections.find(|(_, election)| *election.name == *name)?;
        Some(*key)
    }

    pub(super) fn commanded(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Join { key, candidate } => {
                let autopsy = candidate.autopsy;
                let shared = Arc::clone(&candidate.shared);
                self.election(key, &shared).candidate = Some(candidate);
                Some(Event::Join { key, autopsy })
            }
            Command::Observe { key, shared } => {
                self.election(key, &shared).observed = true;
                Some(Event::Observe { any: true })
            }
            Command::Unobserve { key } => {
                if let Some(election) = self.elections.get_mut(&key) {
                    election.observed = false;
                    self.forget(key);
                }
                let any = self.elections.values().any(|election| election.observed);
                (!any).then_some(Event::Observe { any })
            }
            Command::Ready { key, term } => {
                if let Some(election) = self.elections.get(&key)
                    && let Some(office) = &election.office
                    && office.state.number == term
                    && let Some(candidate) = &election.candidate
                {
                    let state = Arc::clone(&office.state);
                    publish::leads(
                        &election.shared,
                        state,
                        &candidate.address,
                        ElectionState::Leading,
                    );
                }
                Some(Event::Ready { key, term })
            }
            Command::Fail { key, term } => Some(Event::Failed { key, term }),
            Command::Resign { key, term } => Some(Event::Resign { key, term }),
            Command::Leave { key } => Some(Event::Leave { key }),
            Command::Shutdown => Some(Event::Shutdown),
            Command::WorkStopped { key, term, stop } => {
                self.work_stopped(key, term);
                Some(Event::WorkStopped { key, term, stop })
            }
        }
    }

    pub(super) fn work_stopped(&mut self, key: Key, term: u64) {
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let Some(office) = election
            .office
            .as_mut()
            .filter(|office| office.state.number == term)
        else {
            return;
        };
        office.stopped = true;
        match &self.line {
            Some(_) => publish::vacant(&election.shared, &self.timings),
            None => {
                publish::unknown(&election.shared);
                office.state.ended.cancel();
            }
        }
    }

    pub(super) fn election(&mut self, key: Key, shared: &Arc<Shared>) -> &mut Election {
        self.elections.entry(key).or_insert_with(|| Election {
            name: shared.name.as_str().into(),
            shared: Arc::clone(shared),
            id: None,
            candidate: None,
            observed: false,
            office: None,
            request: None,
            waits: Waits::default(),
        })
    }

    pub(super) fn forget(&mut self, key: Key) {
        if let Some(election) = self.elections.get(&key)
            && !election.observed
            && election.candidate.is_none()
        {
            self.elections.remove(&key);
        }
    }
}
