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
use super::sight::{Sight, see};
use crate::engine::Timings;
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
    pub(crate) fn all(&self) -> impl Iterator<Item = &Sight> {
        self.sights.iter().map(|(_, sight)| sight)
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
            let error = sight.failure()?;
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

    /// All that answer. `rest`: so long the others get after the first that accepts writes, but for the one that
    /// is `wanted`.
    pub(crate) async fn round(&mut self, rest: Option<Duration>, wanted: Option<&str>) -> Round {
        self.gather(rest, None, wanted).await
    }

    /// The same, as soon as one accepts writes. A host that is silent costs no more than its own time: until then those
    /// that accept none are looked at again and again, for a standby may be promoted meanwhile.
    pub(crate) async fn until_writable(&mut self, wanted: Option<&str>) -> Round {
        let (rest, again) = (self.timings.look_limit(), self.timings.next_look());
        self.gather(Some(rest), Some(again), wanted).await
    }

    async fn gather(
        &mut self,
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

/// What a process looks for when it connects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    /// Those that it takes part in.
    pub(crate) elections: Vec<String>,
    /// The host that it has left another one for: it gets all the time that there is.
    pub(crate) wanted: Option<String>,
}

/// Where the connection string names several hosts: what was seen of them.
pub(crate) struct SeenHosts {
    pub(crate) own: Sight,
    /// What was seen before it was taken.
    pub(crate) round: Round,
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

fn best(sights: &[(usize, Sight)]) -> Vec<usize> {
    let mut best: Vec<&(usize, Sight)> = vec![];
    for seen in sights.iter().filter(|(_, sight)| sight.writable()) {
        let (_, sight) = seen;
        let same = |(_, other): &&mut &(usize, Sight)| {
            let both = (sight.server.system, other.server.system);
            sight.server == other.server || matches!(both, (Some(one), Some(two)) if one == two)
        };
        match best.iter_mut().find(same) {
            Some(other) if sight.rank() > other.1.rank() => *other = seen,
            Some(_) => {}
            None => best.push(seen),
        }
    }
    best.into_iter().map(|(index, _)| *index).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::connection::sight::{Led, Server};

    /// A primary of cluster 7 that tells all, with or without a leader of the election `e`.
    pub(crate) fn sight(name: &str, started: i64, timeline: i64, led: bool) -> Sight {
        Sight {
            name: name.to_owned(),
            server: Server {
                system: Some(7),
                started,
            },
            standby: false,
            read_only: false,
            timeline: Some(timeline),
            held: Some(Led {
                elections: led.then(|| "e".to_owned()).into_iter().collect(),
                any: false,
            }),
        }
    }

    pub(crate) fn nameless(sight: Sight) -> Sight {
        let server = Server {
            system: None,
            ..sight.server
        };
        Sight { server, ..sight }
    }

    #[test]
    fn the_newest_timeline_comes_first_then_the_leader_then_the_oldest_server() {
        let untold = Sight {
            timeline: None,
            ..sight("0", 1, 1, true)
        };
        let least_first = [
            untold,
            sight("a", 1, 1, true),
            sight("b", 9, 2, false),
            sight("c", 8, 2, false),
            sight("d", 9, 2, true),
            sight("e", 8, 2, true),
            sight("f", 9, 3, false),
        ];
        assert!(least_first.is_sorted_by_key(Sight::rank));
    }

    /// Two strings call the same two servers by names of their own: both take the same one.
    #[test]
    fn whatever_the_hosts_are_called_all_take_the_same() {
        for led in [false, true] {
            let first = [
                (0, sight("db1:5432", 5, 1, led)),
                (1, sight("db2:5432", 4, 1, led)),
            ];
            let second = [
                (0, sight("10.0.0.9:5432", 5, 1, led)),
                (1, sight("10.0.0.10:5432", 4, 1, led)),
            ];
            let third = [
                (0, sight("a:5432", 4, 1, led)),
                (1, sight("z:5432", 5, 1, led)),
            ];
            assert_eq!((best(&first), best(&second)), (vec![1], vec![1]));
            assert_eq!(best(&third), [0]);
        }
    }

    #[test]
    fn one_server_under_two_names_is_no_rival_and_neither_is_a_standby() {
        let one = sight("a", 1, 1, true);
        assert!(!one.rivals(&sight("alias", 1, 1, true)));
        assert!(one.rivals(&sight("b", 2, 1, false)));
        let standby = Sight {
            standby: true,
            ..sight("b", 2, 1, false)
        };
        assert!(!one.rivals(&standby));
        let mut foreign = sight("b", 2, 1, false);
        foreign.server.system = Some(8);
        assert!(!one.rivals(&foreign));
    }

    #[test]
    fn two_that_do_not_tell_their_cluster_are_of_two() {
        let one = nameless(sight("a", 1, 1, false));
        let other = nameless(sight("b", 2, 2, true));
        assert!(!one.rivals(&other) && !other.rivals(&one));
        assert!(!one.rivals(&sight("c", 3, 1, false)));
        // Both are tried, in the order of the string.
        assert_eq!(best(&[(0, one.clone()), (1, other)]), [0, 1]);
        assert_eq!(best(&[(0, one.clone()), (1, one)]), [0]);
    }
}
