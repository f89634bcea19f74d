//! The other hosts, while there is a session: looked at each retry interval, and oftener while several accept
//! writes. One host in the connection string is never looked at.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::Driver;
use super::thread::seed;
use crate::clock;
use crate::engine::{Event, Jitter, Key};
use crate::error::Error;
use crate::session::connect::{self, Hosts};
use crate::session::hosts::{Known, Looks, Round, Sight};

type Elections = Vec<(Key, Arc<str>)>;

/// What a look brought: for these elections, at that time.
pub(super) struct Looked {
    elections: Elections,
    round: Result<Round, Error>,
    /// What may still come of it.
    more: Option<Looks>,
    /// It came late: the next look is due then.
    late: Option<Instant>,
}

/// The next look. Cancel safe.
pub(super) type Lookout = Pin<Box<dyn Future<Output = Looked>>>;

impl Driver {
    pub(super) fn known_hosts(&self) -> Known {
        let names = self.candidacies();
        self.rivals
            .known(names.iter().map(|(_, name)| name.to_string()).collect())
    }

    fn candidacies(&self) -> Elections {
        let candidates = self.memory.elections.iter();
        candidates
            .filter(|(_, election)| election.candidate.is_some())
            .map(|(&key, election)| (key, Arc::clone(&election.name)))
            .collect()
    }

    /// A session has been opened.
    pub(super) fn look_out(&mut self, hosts: Option<Hosts>) {
        let Some(Hosts { own, round }) = hosts else {
            return;
        };
        let now = clock::now();
        self.rivals.arrived(now, &self.timings, own, &round);
        let contested = self.rivals.is_contested(now);
        // Nothing begins before the first look, where it is contested.
        self.handle(Event::Looked {
            contested,
            higher: false,
            held: vec![],
            clear: vec![],
        });
        let delay = if contested {
            Duration::ZERO
        } else {
            self.between_looks(now)
        };
        self.lookout = Some(self.next_look(Instant::now() + delay, None));
    }

    fn between_looks(&self, now: crate::engine::Instant) -> Duration {
        if self.rivals.is_contested(now) {
            return self.timings.contested_look_interval();
        }
        Jitter::new(seed()).around(self.timings.retry_interval)
    }

    /// What comes of the last one, then another.
    fn next_look(&self, due: Instant, last: Option<(Elections, Looks)>) -> Lookout {
        let (config, timings, log) = (self.config.clone(), self.timings.clone(), self.log.clone());
        let elections = self.candidacies();
        Box::pin(async move {
            let sleep = tokio::time::sleep_until(due);
            if let Some((elections, mut looks)) = last {
                tokio::select! {
                    biased;
                    round = looks.late() => return Looked {
                        elections,
                        round: Ok(round),
                        more: Some(looks),
                        late: Some(due),
                    },
                    () = sleep => {}
                }
            } else {
                sleep.await;
            }
            let names: Vec<_> = elections.iter().map(|(_, name)| name.to_string()).collect();
            let looking = async {
                let ways = Arc::new(connect::find_ways(&config, &timings, &log).await?);
                let mut looks = Looks::begin(&ways, &timings, &names);
                let round = looks.round(Some(timings.look_limit()), None).await;
                Ok((round, looks))
            };
            let (round, more) = match looking.await {
                Ok((round, looks)) => (Ok(round), Some(looks)),
                Err(error) => (Err(error), None),
            };
            Looked {
                elections,
                round,
                more,
                late: None,
            }
        })
    }

    pub(super) fn looked(&mut self, looked: Looked) -> Option<Event> {
        let was = self.rivals.is_contested(clock::now());
        let event = match looked.round {
            Ok(round) => self.judge(&looked.elections, &round, looked.late.is_some()),
            Err(error) => {
                let message = format!("the hosts cannot be looked at: {error}");
                self.say(Level::DEBUG, message);
                // Its cause may be what the hook for credentials said.
                self.hands.discard(error);
                None
            }
        };
        let now = clock::now();
        let due = match looked.late {
            Some(_) if !was && self.rivals.is_contested(now) => Instant::now(),
            Some(due) => due,
            None => Instant::now() + self.between_looks(now),
        };
        let last = looked.more.map(|looks| (looked.elections, looks));
        self.lookout = Some(self.next_look(due, last));
        event
    }

    fn judge(&mut self, elections: &[(Key, Arc<str>)], round: &Round, late: bool) -> Option<Event> {
        let now = clock::now();
        let leads = self.memory.elections.values();
        let leads = leads.filter(|election| election.working().is_some());
        let leads: BTreeSet<String> = leads.map(|election| election.name.to_string()).collect();
        self.rivals.note(now, &self.timings, round, &leads);
        self.tell_of_writers(round, late);
        let own = self.rivals.own()?;
        let words = |sight: &Sight| match sight.timeline {
            Some(timeline) => format!("{} (timeline {timeline})", sight.name),
            None => sight.name.clone(),
        };
        let better = self.rivals.better();
        let better = better.map(|best| (best.name.clone(), words(best), words(own)));
        let higher = better.is_some();
        if let Some((name, best, own)) = better {
            let message =
                format!("leaving {own} for {best}, which accepts writes too: terms here are over");
            self.say(Level::WARN, message);
            self.rivals.want(name);
        }
        let is_held = |(_, name): &&(Key, Arc<str>)| self.rivals.is_held(now, name);
        let (held, clear): (Vec<_>, Vec<_>) = elections.iter().partition(is_held);
        let keys = |of: Vec<&(Key, Arc<str>)>| of.into_iter().map(|(key, _)| *key).collect();
        Some(Event::Looked {
            contested: self.rivals.is_contested(now),
            higher,
            held: keys(held),
            // What comes late tells of one host alone.
            clear: if late { vec![] } else { keys(clear) },
        })
    }

    /// Once, when it changes.
    fn tell_of_writers(&mut self, round: &Round, late: bool) {
        let Some(own) = self.rivals.own() else { return };
        let now = clock::now();
        let foreign =
            |sight: &&Sight| sight.writable() && sight.server != own.server && !own.rivals(sight);
        let foreign: Vec<&Sight> = round.all().filter(foreign).collect();
        if late && foreign.is_empty() && !self.rivals.is_contested(now) {
            return;
        }
        let mut all: Vec<&Sight> = self.rivals.all(now).chain(foreign).chain([own]).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by_key(|sight| sight.server);
        let several = all.len() > 1;
        let names = all.iter().map(|sight| sight.name.clone());
        let names: Vec<_> = names.filter(|_| several).collect();
        if self.trouble.writable == names {
            return;
        }
        let each = all.iter().map(|sight| match sight.timeline {
            _ if sight.server != own.server && !own.rivals(sight) => {
                format!("{}, which is of another cluster", sight.name)
            }
            Some(timeline) => format!("{} on timeline {timeline}", sight.name),
            None => format!("{}, which does not tell its timeline", sight.name),
        });
        let each: Vec<_> = each.collect();
        let (level, message) = if several {
            let advice = "Only one of them may: stop the others, or follow the newest timeline with them \
                          (pg_rewind)";
            let message = format!("several hosts accept writes: {}. {advice}", each.join("; "));
            (Level::WARN, message)
        } else {
            let message = format!("one host accepts writes again: {}", own.name);
            (Level::INFO, message)
        };
        self.say(level, message);
        self.trouble.writable = names;
    }
}
