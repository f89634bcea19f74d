//! The other hosts, while there is a session: looked at each retry interval, and oftener while several accept
//! writes. One host in the connection string is never looked at.

mod rivals;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use self::rivals::Rivals;
use crate::clock;
use crate::config::Config;
use crate::connection::Endpoints;
use crate::connection::hosts::{Looks, Round, Search, SeenHosts};
use crate::connection::sight::Sight;
use crate::engine::{Input, Jitter, Key, Timings};
use crate::error::Error;
use crate::foreign::log::{Entry, Log};

/// Elections in which this process is a candidate.
pub(crate) type Elections = Vec<(Key, Arc<str>)>;

/// What a look brought: for these elections, at that time.
pub(crate) struct Looked {
    elections: Elections,
    round: Result<Round, Error>,
    /// What may still come of it.
    more: Option<Looks>,
    /// It came late: the next look is due then.
    late: Option<Instant>,
}

/// Looks, and remembers what it saw: its memory outlives sessions.
pub(crate) struct Lookout {
    config: Config,
    timings: Timings,
    log: Log,
    seed: fn() -> u64,
    rivals: Rivals,
    /// The hosts that accept writes, where they are several, as was said last.
    writable: Vec<String>,
    /// With several hosts and a session.
    look: Option<Pin<Box<dyn Future<Output = Looked> + Send>>>,
}

impl Lookout {
    /// `seed` is for jitter.
    pub(crate) fn new(config: &Config, timings: &Timings, log: &Log, seed: fn() -> u64) -> Self {
        Lookout {
            config: config.clone(),
            timings: timings.clone(),
            log: log.clone(),
            seed,
            rivals: Rivals::default(),
            writable: vec![],
            look: None,
        }
    }

    /// What the next session is to find out.
    pub(crate) fn search(&self, elections: &Elections) -> Search {
        let names = elections.iter().map(|(_, name)| name.to_string());
        self.rivals.known(names.collect())
    }

    /// The session is gone.
    pub(crate) fn rest(&mut self) {
        self.look = None;
    }

    /// A session has been opened. Nothing begins before the first look, where it is contested.
    pub(crate) fn arrived(&mut self, hosts: SeenHosts, elections: Elections) -> Input {
        let SeenHosts { own, round } = hosts;
        let now = clock::now();
        self.rivals.arrived(now, &self.timings, own, &round);
        let contested = self.rivals.is_contested(now);
        let delay = if contested {
            Duration::ZERO
        } else {
            self.between_looks(now)
        };
        self.look_at(Instant::now() + delay, None, elections);
        Input::Looked {
            contested,
            higher: false,
            held: vec![],
            clear: vec![],
        }
    }

    /// The next look. Cancel safe.
    pub(crate) async fn next(&mut self) -> Looked {
        match &mut self.look {
            Some(look) => look.await,
            None => std::future::pending().await,
        }
    }

    fn between_looks(&self, now: crate::engine::Instant) -> Duration {
        if self.rivals.is_contested(now) {
            return self.timings.contested_look_interval();
        }
        Jitter::new((self.seed)()).around(self.timings.retry_interval)
    }

    /// What comes of the last one, then another.
    fn look_at(&mut self, due: Instant, last: Option<(Elections, Looks)>, elections: Elections) {
        let (config, timings, log) = (self.config.clone(), self.timings.clone(), self.log.clone());
        self.look = Some(Box::pin(async move {
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
                let say = |warning| log.say(Entry::new(Level::WARN, warning));
                let endpoints = Endpoints::find(&config, &timings, &say).await?;
                let mut looks = Looks::begin(&endpoints, &timings, &names);
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
        }));
    }

    /// What it means. `elections` are those of now, `leads` those that this process leads. An error may have been made
    /// by the application's hook for credentials: where it is dropped is the caller's to say.
    pub(crate) fn looked(
        &mut self,
        looked: Looked,
        elections: Elections,
        leads: &BTreeSet<String>,
    ) -> Result<Option<Input>, Error> {
        let was = self.rivals.is_contested(clock::now());
        let input = match looked.round {
            Ok(round) => Ok(self.judge(&looked.elections, &round, looked.late.is_some(), leads)),
            Err(error) => {
                let message = format!("the hosts cannot be looked at: {error}");
                self.log.say(Entry::new(Level::DEBUG, message));
                Err(error)
            }
        };
        let now = clock::now();
        let due = match looked.late {
            Some(_) if !was && self.rivals.is_contested(now) => Instant::now(),
            Some(due) => due,
            None => Instant::now() + self.between_looks(now),
        };
        let last = looked.more.map(|looks| (looked.elections, looks));
        self.look_at(due, last, elections);
        input
    }

    fn judge(
        &mut self,
        elections: &[(Key, Arc<str>)],
        round: &Round,
        late: bool,
        leads: &BTreeSet<String>,
    ) -> Option<Input> {
        let now = clock::now();
        self.rivals.note(now, &self.timings, round, leads);
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
            self.log.say(Entry::new(Level::WARN, message));
            self.rivals.want(name);
        }
        let is_held = |(_, name): &&(Key, Arc<str>)| self.rivals.is_held(now, name);
        let (held, clear): (Vec<_>, Vec<_>) = elections.iter().partition(is_held);
        let keys = |of: Vec<&(Key, Arc<str>)>| of.into_iter().map(|(key, _)| *key).collect();
        Some(Input::Looked {
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
        if self.writable == names {
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
        self.log.say(Entry::new(level, message));
        self.writable = names;
    }
}
