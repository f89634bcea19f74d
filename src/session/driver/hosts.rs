//! The other hosts, while there is a session: looked at each retry interval, and oftener while several accept
//! writes. One host in the connection string is never looked at.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use super::Driver;
use super::thread::seed;
use crate::clock;
use crate::error::Error;
use crate::protocol::{Event, Instant, Key};
use crate::session::connect::{self, Hosts};
use crate::session::hosts::{self, Round, Sight};

/// What a look brought: for these elections, at that time.
pub(super) struct Looked {
    elections: Vec<(Key, Arc<str>)>,
    round: Result<Round, Error>,
}

pub(super) struct Lookout {
    own: Sight,
    /// Rivals as they were last seen. One that does not answer is taken for what it was for a retry interval.
    rivals: BTreeMap<String, (Sight, Instant)>,
    contested: bool,
    next: Pin<Box<dyn Future<Output = Looked>>>,
}

impl Lookout {
    /// Cancel safe.
    pub(super) async fn looked(&mut self) -> Looked {
        (&mut self.next).await
    }
}

impl Driver {
    /// A session has been opened.
    pub(super) fn look_out(&mut self, hosts: Option<Hosts>) {
        let Some(Hosts { own, contested }) = hosts else {
            return;
        };
        // Nothing begins before the first look, where it is contested.
        self.handle(Event::Looked {
            contested,
            held: vec![],
            clear: vec![],
        });
        let next = self.next_look(contested.then_some(Duration::ZERO));
        self.lookout = Some(Lookout {
            own,
            rivals: BTreeMap::new(),
            contested,
            next,
        });
    }

    /// After `delay`, or about a retry interval.
    fn next_look(&self, delay: Option<Duration>) -> Pin<Box<dyn Future<Output = Looked>>> {
        let delay = delay.unwrap_or_else(|| {
            let interval = self.timings.retry_interval;
            interval * 3 / 4 + interval.mul_f64((seed() % 1000) as f64 / 2000.0)
        });
        let (config, timings, log) = (self.config.clone(), self.timings.clone(), self.log.clone());
        let candidates = self.memory.elections.iter();
        let elections: Vec<_> = candidates
            .filter(|(_, election)| election.candidate.is_some())
            .map(|(&key, election)| (key, Arc::clone(&election.name)))
            .collect();
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            let names: Vec<_> = elections.iter().map(|(_, name)| name.to_string()).collect();
            let looking = async {
                let ways = Arc::new(connect::find_ways(&config, &timings, &log).await?);
                let rest = Some(timings.lease / 4);
                Ok(hosts::look(&ways, &timings, &names, rest).await)
            };
            let round = looking.await;
            Looked { elections, round }
        })
    }

    pub(super) fn looked(&mut self, looked: Looked) -> Option<Event> {
        let mut lookout = self.lookout.take()?;
        let event = match looked.round {
            Ok(round) => self.judge(&mut lookout, &looked.elections, round),
            Err(error) => {
                self.say(
                    Level::DEBUG,
                    format!("the hosts cannot be looked at: {error}"),
                );
                None
            }
        };
        if event == Some(Event::Disconnected) {
            return event;
        }
        let soon = lookout.contested.then_some(self.timings.lease / 2);
        lookout.next = self.next_look(soon);
        self.lookout = Some(lookout);
        event
    }

    fn judge(
        &mut self,
        lookout: &mut Lookout,
        elections: &[(Key, Arc<str>)],
        round: Round,
    ) -> Option<Event> {
        let now = clock::now();
        let sights = || round.sights.iter().map(|(_, sight)| sight);
        if let Some(own) = sights().find(|sight| sight.server == lookout.own.server) {
            lookout.own = own.clone();
        }
        let own = &lookout.own;
        let fresh: Vec<&Sight> = sights().filter(|sight| own.rivals(sight)).collect();
        let others = sights().filter(|sight| sight.writable() && sight.server != own.server);
        self.tell_of_writers(own, &others.collect::<Vec<_>>());
        let best = fresh.iter().max_by_key(|sight| sight.rank());
        if let Some(best) = best.filter(|best| best.rank() > own.rank()) {
            let message = format!(
                "leaving {} (timeline {}) for {} (timeline {}), which accepts writes too: terms here are over",
                own.name, own.timeline, best.name, best.timeline
            );
            self.hang_up();
            self.say(Level::WARN, message);
            return Some(Event::Disconnected);
        }
        let patience = self.timings.retry_interval;
        lookout.rivals.retain(|name, (_, seen)| {
            now.since(*seen) < patience && round.silent.iter().any(|(_, silent)| silent == name)
        });
        for sight in fresh {
            let rival = (sight.clone(), now);
            lookout.rivals.insert(sight.name.clone(), rival);
        }
        let was = std::mem::replace(&mut lookout.contested, !lookout.rivals.is_empty());
        if !was && !lookout.contested {
            return None;
        }
        let is_held = |name: &str| {
            let mut rivals = lookout.rivals.values();
            rivals.any(|(rival, _)| rival.held.contains(name))
        };
        let (held, clear): (Vec<_>, Vec<_>) = elections.iter().partition(|(_, name)| is_held(name));
        let keys = |of: Vec<&(Key, Arc<str>)>| of.into_iter().map(|(key, _)| *key).collect();
        Some(Event::Looked {
            contested: lookout.contested,
            held: keys(held),
            clear: keys(clear),
        })
    }

    /// Once, when it changes. `others` accept writes, too.
    fn tell_of_writers(&mut self, own: &Sight, others: &[&Sight]) {
        let mut all: Vec<&Sight> = others.iter().copied().chain([own]).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        let several = !others.is_empty();
        let names = all.iter().map(|sight| sight.name.clone());
        let names: Vec<_> = names.filter(|_| several).collect();
        if self.trouble.writable == names {
            return;
        }
        let each = all.iter().map(|sight| {
            if sight.server.system == own.server.system {
                format!("{} on timeline {}", sight.name, sight.timeline)
            } else {
                format!("{}, which is of another cluster", sight.name)
            }
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
