//! Several hosts in one connection string: all are looked at, and one is taken.
//!
//! A look is a session of its own: connected, asked, and closed with a goodbye, so that nobody's autopsy takes it
//! for one that was killed. It is never dropped in the middle of a question either: what is not waited for goes
//! on by itself, until its own limit.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::addresses::Addresses;
use super::endpoints::{Endpoints, most_telling};
use super::sight::{failure, see};
use crate::engine::{Missed, Search, Sight, Survey, Timings, best};
use crate::error::{Error, Kind};
use futures_util::stream::{FuturesUnordered, StreamExt};

/// What was seen of the hosts, by their places in the connection string and in its order.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) sights: Vec<(usize, Sight)>,
    pub(crate) failures: Vec<(usize, String, Error)>,
    /// Those that had not answered in time.
    pub(crate) silent: Vec<(usize, String)>,
}

impl Round {
    pub(crate) fn survey(&self) -> Survey {
        let failures = self.failures.iter();
        let failed = failures.map(|(_, name, error)| (name, error.is_refusal()));
        let silent = self.silent.iter().map(|(_, name)| (name, false));
        let missed = failed.chain(silent).map(|(name, refuses)| Missed {
            name: name.clone(),
            refuses,
        });
        Survey {
            sights: self.sights.iter().map(|(_, sight)| sight.clone()).collect(),
            missed: missed.collect(),
        }
    }

    /// Instead of what was seen of it before.
    fn add(&mut self, endpoints: &Endpoints, index: usize, seen: Result<Sight, Error>) {
        self.sights.retain(|(other, _)| *other != index);
        self.failures.retain(|(other, ..)| *other != index);
        match seen {
            Ok(sight) => self.sights.push((index, sight)),
            Err(error) => self.failures.push((index, endpoints.name(index), error)),
        }
    }

    /// What became of each host, where none accepts writes.
    fn all_failures(self) -> Vec<(String, Error)> {
        let refused = self.sights.into_iter();
        let refused = refused.filter_map(|(index, sight)| {
            let error = failure(&sight)?;
            Some((index, sight.name, error))
        });
        let mut all: Vec<_> = self.failures.into_iter().chain(refused).collect();
        all.sort_by_key(|(index, ..)| *index);
        all.into_iter()
            .map(|(_, name, error)| (name, error))
            .collect()
    }
}

type Look = Pin<Box<dyn Future<Output = (usize, Result<Sight, Error>)> + Send>>;
type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All hosts, looked at side by side. What is dropped goes on by itself.
pub(crate) struct Looks {
    endpoints: Arc<Endpoints>,
    timings: Timings,
    elections: Vec<String>,
    running: FuturesUnordered<Look>,
    /// Those that have not answered yet.
    waiting: BTreeSet<usize>,
    /// Those that have, and are looked at again.
    again: BTreeSet<usize>,
}

impl Looks {
    pub(crate) fn begin(
        endpoints: &Arc<Endpoints>,
        timings: &Timings,
        elections: &[String],
    ) -> Looks {
        let all = 0..endpoints.count();
        let mut looks = Looks {
            endpoints: Arc::clone(endpoints),
            timings: timings.clone(),
            elections: elections.to_vec(),
            running: FuturesUnordered::new(),
            waiting: all.clone().collect(),
            again: BTreeSet::new(),
        };
        all.for_each(|index| looks.look(index));
        looks
    }

    fn look(&mut self, index: usize) {
        let (endpoints, timings) = (Arc::clone(&self.endpoints), self.timings.clone());
        let elections = self.elections.clone();
        let task =
            tokio::spawn(async move { look_at(&endpoints, index, &timings, &elections).await });
        self.running.push(Box::pin(async move {
            let seen = task.await.unwrap_or_else(|panic| {
                let why = Kind::Unreachable("a panic".to_owned());
                Err(Error::caused(why, panic))
            });
            (index, seen)
        }));
    }

    /// All that answer.
    pub(crate) async fn round(&mut self) -> Round {
        self.gather(None, None, None, None).await
    }

    /// Those that answer while somebody waits for it.
    pub(crate) async fn short_round(&mut self) -> Round {
        let (rest, all) = (self.timings.look_limit(), self.timings.round_limit());
        self.gather(Some(all), Some(rest), None, None).await
    }

    /// The same, as soon as one accepts writes. A host that is silent costs no more than its own time: until then those
    /// that accept none are looked at again and again, for a standby may be promoted meanwhile.
    pub(crate) async fn until_writable(&mut self, wanted: Option<&str>) -> Round {
        let (rest, again) = (self.timings.look_limit(), self.timings.next_look());
        self.gather(None, Some(rest), Some(again), wanted).await
    }

    /// `all`: it takes no longer. `rest`: so long the others get after the first that accepts writes, but for the one that
    /// is `wanted`.
    async fn gather(
        &mut self,
        all: Option<Duration>,
        rest: Option<Duration>,
        again: Option<Duration>,
        wanted: Option<&str>,
    ) -> Round {
        let timer = |after: Option<Duration>| -> Timer {
            match after {
                Some(after) => Box::pin(tokio::time::sleep(after)),
                None => Box::pin(std::future::pending()),
            }
        };
        let mut all_over = timer(all);
        let (mut over, mut is_over) = (timer(None), false);
        let mut next = timer(again);
        let mut round = Round::default();
        let mut found = false;
        loop {
            let wants = |index: &usize| wanted == Some(self.endpoints.name(*index).as_str());
            if self.waiting.is_empty() || (is_over && !self.waiting.iter().any(wants)) {
                break;
            }
            let (index, seen) = tokio::select! {
                biased;
                Some(answer) = self.running.next() => answer,
                () = &mut all_over => break,
                () = &mut over, if !is_over => {
                    is_over = true;
                    continue;
                }
                () = &mut next, if !found => {
                    self.look_again(&round);
                    next = timer(again);
                    continue;
                }
            };
            self.waiting.remove(&index);
            self.again.remove(&index);
            let writes = seen.as_ref().is_ok_and(Sight::writable);
            if writes && !found {
                found = true;
                over = timer(rest);
            }
            round.add(&self.endpoints, index, seen);
        }
        let waiting = self.waiting.iter();
        round.silent = waiting
            .map(|&index| (index, self.endpoints.name(index)))
            .collect();
        round.sights.sort_by_key(|(index, _)| *index);
        round
    }

    /// At those that have answered, and are not looked at now.
    fn look_again(&mut self, round: &Round) {
        let seen = round.sights.iter().map(|(index, _)| *index);
        let failed = round.failures.iter().map(|(index, ..)| *index);
        let idle: Vec<usize> = seen.chain(failed).collect();
        for index in idle {
            if self.again.insert(index) {
                self.look(index);
            }
        }
    }

    /// What comes after its round; never where nothing does. Cancel safe.
    pub(crate) async fn late(&mut self) -> Round {
        let Some((index, seen)) = self.running.next().await else {
            return std::future::pending().await;
        };
        self.waiting.remove(&index);
        self.again.remove(&index);
        let mut round = Round::default();
        round.add(&self.endpoints, index, seen);
        round
    }
}

async fn look_at(
    endpoints: &Arc<Endpoints>,
    index: usize,
    timings: &Timings,
    elections: &[String],
) -> Result<Sight, Error> {
    let mut calls = Addresses::begin_to_look(endpoints, index, timings).await?;
    // One of its addresses, that accepts no writes.
    let mut idle = None;
    while let Some(called) = calls.next().await {
        let (turn, mut wire) = (called.turn(), called.wire);
        let looking = async {
            let sight = {
                let client = Arc::clone(wire.client());
                wire.drive(see(&client, endpoints.name(index), elections))
                    .await
            };
            // A client that is left keeps the connection from its goodbye.
            wire.close().await;
            sight
        };
        match calls.within(turn, looking).await {
            Some(sight) if sight.writable() => return Ok(sight),
            Some(sight) => {
                calls.hurry();
                idle = idle.or(Some(sight));
            }
            None => {}
        }
    }
    idle.ok_or_else(|| calls.error())
}

/// Where to connect to, the best first: one of each cluster, in the order of the string.
///
/// Never the second best of a cluster: where the best is not fit, that must be said.
pub(crate) async fn choose(
    endpoints: &Arc<Endpoints>,
    timings: &Timings,
    search: &Search,
) -> Result<(Vec<usize>, Round), Error> {
    let mut looks = Looks::begin(endpoints, timings, &search.elections);
    let round = looks.until_writable(search.wanted.as_deref()).await;
    let order = best(&round.sights);
    if order.is_empty() {
        return Err(most_telling(round.all_failures()));
    }
    Ok((order, round))
}
