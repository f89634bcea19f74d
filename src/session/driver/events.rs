//! What comes to the driver, made an event of the state machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::Level;

use futures_util::stream::FuturesUnordered;
use tokio_postgres::Notification;

use super::line::{Heard, Line};
use super::open::Opened;
use super::{Command, Driver, Election};
use crate::clock;
use crate::engine::{Answer, Ending, Event, Key};
use crate::error::Error;
use crate::leash::Leash;
use crate::session::connect::Session;
use crate::session::log::Entry;
use crate::session::queries::Reply;
use crate::standing::Shared;
#[cfg(feature = "testing")]
use crate::testing::PanicAt;

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
                let schema = error.is_schema();
                match self.memory.first.take() {
                    Some(first) => {
                        self.hands.give(move || drop(first.send(Err(error))));
                        self.finished = true;
                    }
                    None => {
                        self.not_opened(&error);
                        // Its cause may be what the hook for credentials said.
                        self.hands.discard(error);
                    }
                }
                return Some(Event::NotOpened { schema });
            }
        };
        if let Some(first) = self.memory.first.take() {
            self.hands.give(move || drop(first.send(Ok(()))));
        }
        self.no_more_trouble();
        let how = if session.direct {
            "directly"
        } else {
            "not directly"
        };
        let connected = Entry::new(Level::DEBUG, format!("connected, {how}"));
        self.said.push(connected.pid(session.pid));
        self.memory.instance = Some(instance.into());
        self.look_out(session.hosts);
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
            log: self.log.clone(),
        });
        Some(Event::Connected)
    }

    pub(super) fn heard(&mut self, heard: Heard) -> Option<Event> {
        match heard {
            Heard::Reply(reply) => self.replied(*reply),
            Heard::Notifications(notifications) => self.notified(&notifications),
            Heard::End(error) => {
                self.hang_up();
                let why = error.map(|error| Error::session("listening", error).to_string());
                let why = why.map_or(String::new(), |why| format!(": {why}"));
                self.say(Level::WARN, format!("the session ended{why}"));
                Some(Event::Disconnected)
            }
        }
    }

    pub(super) fn replied(&mut self, reply: Reply) -> Option<Event> {
        self.said.extend(reply.said);
        // From here on these terms are owed a vacate, come what may.
        for (key, term) in reply.answer.iter().flat_map(Answer::begun) {
            if let Some(election) = self.memory.elections.get_mut(&key) {
                election.owed = Some((term, Ending::Deposed));
            }
        }
        #[cfg(feature = "testing")]
        self.trip(PanicAt::Answer);
        let answer = match reply.answer {
            Ok(answer) => answer,
            Err(error) => {
                self.hang_up();
                self.say(Level::WARN, format!("the session is given up: {error}"));
                return Some(Event::Disconnected);
            }
        };
        if let Some((key, id)) = reply.joined
            && let Some(election) = self.memory.elections.get_mut(&key)
        {
            election.id = Some(id);
        }
        for (key, token) in reply.tokens {
            if let Some(election) = self.memory.elections.get_mut(&key) {
                election.token = Some(token);
            }
        }
        for (key, term, request) in reply.requests {
            if let Some(election) = self.memory.elections.get_mut(&key)
                && let Some(office) = &election.office
                && office.state.number == term
            {
                // The first one ends the term.
                election.request.get_or_insert((term, Arc::new(request)));
            }
        }
        Some(Event::Answered {
            sent: reply.sent,
            answer,
            rows: reply.rows,
        })
    }

    /// Anyone may send notifications: of these no more is used than which elections to look at.
    pub(super) fn notified(&self, notifications: &[Notification]) -> Option<Event> {
        let line = self.line.as_ref()?;
        let mut keys = BTreeSet::new();
        for notification in notifications {
            // The rest of a flood tells nothing new.
            if keys.len() == self.memory.elections.len() {
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
        let mut elections = self.memory.elections.iter();
        let (key, _) = elections.find(|(_, election)| *election.name == *name)?;
        Some(*key)
    }

    /// Whether that candidacy goes on; a handle outlives its own.
    fn is_candidacy(&self, key: Key, number: u64) -> bool {
        let election = self.memory.elections.get(&key);
        let candidate = election.and_then(|election| election.candidate.as_ref());
        candidate.is_some_and(|candidate| candidate.number == number)
    }

    /// Note the command that was taken. What it asks for must be noted, complete, before anything else is
    /// done about it: a panic leaves what is noted.
    pub(super) fn note_command(&mut self) -> Option<Event> {
        match self.memory.command.take()? {
            // Nothing is accepted after a shutdown: `Inner::entry` sees to it.
            Command::Join { key, candidate } => {
                let autopsy = candidate.autopsy;
                let shared = Arc::clone(&candidate.shared);
                let before = self.election(key, &shared).candidate.replace(candidate);
                self.hands.discard(before);
                Some(Event::Join { key, autopsy })
            }
            Command::Observe { key, shared } => {
                self.election(key, &shared).observed = true;
                Some(Event::Observe { key })
            }
            Command::Unobserve { key } => {
                if let Some(election) = self.memory.elections.get_mut(&key) {
                    election.observed = false;
                    self.forget(key);
                }
                Some(Event::Unobserve { key })
            }
            Command::Ready { key, term } => Some(Event::Ready { key, term }),
            Command::Fail { key, term } => Some(Event::Failed { key, term }),
            Command::Resign { key, term } => Some(Event::Resign { key, term }),
            Command::GiveUp {
                key,
                candidacy,
                told,
            } => {
                if !self.is_candidacy(key, candidacy) {
                    self.hands.give(move || told.cancel());
                    return None;
                }
                self.memory.resigning.push((key, told));
                Some(Event::GiveUp { key })
            }
            Command::Leave { key, candidacy } => {
                if !self.is_candidacy(key, candidacy) {
                    return None;
                }
                if let Some(election) = self.memory.elections.get_mut(&key) {
                    election.leaves = true;
                }
                Some(Event::Leave { key })
            }
            Command::Shutdown => {
                self.memory.stops = true;
                Some(Event::Shutdown)
            }
            Command::WorkStopped { key, term, stop } => {
                self.work_stopped(key, term);
                Some(Event::WorkStopped { key, term, stop })
            }
            #[cfg(feature = "testing")]
            Command::Panic(at) => {
                self.panic_at = Some(at);
                None
            }
        }
    }

    pub(super) fn work_stopped(&mut self, key: Key, term: u64) {
        let Some(election) = self.memory.elections.get_mut(&key) else {
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
    }

    pub(super) fn election(&mut self, key: Key, shared: &Arc<Shared>) -> &mut Election {
        self.memory
            .elections
            .entry(key)
            .or_insert_with(|| Election {
                name: shared.name.as_str().into(),
                shared: Arc::clone(shared),
                id: None,
                candidate: None,
                leaves: false,
                observed: false,
                office: None,
                token: None,
                owed: None,
                request: None,
            })
    }

    pub(super) fn forget(&mut self, key: Key) {
        if let Some(election) = self.memory.elections.get(&key)
            && !election.observed
            && election.candidate.is_none()
        {
            let election = self.memory.elections.remove(&key);
            self.hands.discard(election);
        }
    }
}
