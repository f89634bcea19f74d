//! Several hosts in one connection string: what each is, and which is taken.
//!
//! A look is a session of its own: connected, asked, and closed with a goodbye, so that nobody's autopsy takes it
//! for one that was killed. It is never dropped in the middle of a question either: what is not waited for goes
//! on by itself, until its own limit.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connect::{self, Ways};
use super::statements::{Parameter, column};
use crate::error::{Error, Kind};
use crate::protocol::Timings;

const ROLE: &str = "
    SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
           (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8";

/// Where a standby is asked, the timeline of its last checkpoint. Some platforms tell neither.
const HISTORY: &str = "
    SELECT c.system_identifier,
           CASE WHEN pg_is_in_recovery() THEN (SELECT p.timeline_id::int8 FROM pg_control_checkpoint() AS p)
                ELSE ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::int8 END
    FROM pg_control_system() AS c";

/// Of the elections asked for, by name: ids may differ where timelines have parted.
const HELD: &str = "
    SELECT e.name
    FROM pgleader.lock AS l
    LEFT JOIN pgleader.read_elections($1) AS e ON e.election = l.election_id
    WHERE l.kind = 'pgleader.election'::regclass AND l.granted";

/// A running server, whatever its host is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) system: Option<i64>,
    /// When it was started, by its own clock; only ever compared with that of copies of the same cluster.
    started: i64,
}

/// What a host was seen to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) standby: bool,
    pub(crate) read_only: bool,
    pub(crate) timeline: i64,
    /// Some election is led there.
    pub(crate) busy: bool,
    /// Those that were asked for and are led there.
    pub(crate) held: BTreeSet<String>,
}

impl Sight {
    pub(crate) fn writable(&self) -> bool {
        !self.standby && !self.read_only
    }

    /// Whether both are copies of one cluster, and not one server under two names.
    pub(crate) fn rivals(&self, other: &Sight) -> bool {
        self.writable()
            && other.writable()
            && self.server.system == other.server.system
            && self.server != other.server
    }

    /// Of those that are rivals the greatest is taken, by every process alike: the newest timeline, then where
    /// somebody leads, then the one that has run longest. Names come last: two strings may call a host
    /// differently.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let since = Reverse(self.server.started);
        (self.timeline, self.busy, since, Reverse(self.name.clone()))
    }

    fn failure(&self) -> Option<Error> {
        match (self.standby, self.read_only) {
            (true, _) => Some(Error::new(Kind::Standby)),
            (_, true) => Some(Error::new(Kind::ReadOnly)),
            _ => None,
        }
    }
}

/// What all hosts were seen to be, in the order of the connection string.
pub(crate) struct Round {
    /// By the place in the string. One server under two names is seen once.
    pub(crate) sights: Vec<(usize, Sight)>,
    pub(crate) failures: Vec<(usize, String, Error)>,
    /// Those that had not answered in time.
    pub(crate) silent: Vec<(usize, String)>,
}

/// Look at all hosts side by side. `rest`: so long the others get after the first that accepts writes.
pub(crate) async fn look(
    ways: &Arc<Ways>,
    timings: &Timings,
    elections: &[String],
    rest: Option<Duration>,
) -> Round {
    let mut looks: FuturesUnordered<_> = (0..ways.count())
        .map(|index| {
            let (ways, timings) = (Arc::clone(ways), timings.clone());
            let elections = elections.to_vec();
            let task =
                tokio::spawn(async move { look_at(&ways, index, &timings, &elections).await });
            async move { (index, task.await) }
        })
        .collect();
    let mut waiting: BTreeSet<usize> = (0..ways.count()).collect();
    let mut over: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(std::future::pending());
    let mut round = Round {
        sights: vec![],
        failures: vec![],
        silent: vec![],
    };
    let mut found = false;
    while !waiting.is_empty() {
        let (index, seen) = tokio::select! {
            biased;
            Some(answer) = looks.next() => answer,
            () = &mut over => break,
        };
        waiting.remove(&index);
        match seen.unwrap_or_else(|panic| {
            Err(Error::caused(
                Kind::Unreachable("a panic".to_owned()),
                panic,
            ))
        }) {
            Ok(sight) => {
                if sight.writable() && !found {
                    found = true;
                    if let Some(rest) = rest {
                        over = Box::pin(tokio::time::sleep(rest));
                    }
                }
                round.sights.push((index, sight));
            }
            Err(error) => round.failures.push((index, ways.name(index), error)),
        }
    }
    round.silent = waiting
        .iter()
        .map(|&index| (index, ways.name(index)))
        .collect();
    round.sights.sort_by_key(|(index, _)| *index);
    let mut servers = BTreeSet::new();
    round
        .sights
        .retain(|(_, sight)| servers.insert(sight.server));
    round
}

async fn look_at(
    ways: &Ways,
    index: usize,
    timings: &Timings,
    elections: &[String],
) -> Result<Sight, Error> {
    let looking = async {
        let (mut messages, client) = ways.open_to_look(index, timings).await?;
        let seen = see(&client, ways.name(index), elections);
        let sight = connect::with(&mut messages, seen).await;
        // With its last client gone the connection says goodbye.
        drop(client);
        while messages.next().await.is_some() {}
        sight
    };
    let limit = ways.limit();
    let seen = tokio::time::timeout(limit, looking).await;
    seen.unwrap_or_else(|_| {
        Err(Error::new(Kind::Unreachable(format!(
            "no answer within {limit:?}"
        ))))
    })
}

/// What a session tells of its server. One round trip.
pub(crate) async fn see(
    client: &Client,
    name: String,
    elections: &[String],
) -> Result<Sight, Error> {
    let failed = |error| Error::session("looking at the host", error);
    let asked: [Parameter<'_>; 1] = [(&elections, Type::TEXT_ARRAY)];
    let (role, history, held) = futures_util::join!(
        client.query_typed(ROLE, &[]),
        client.query_typed(HISTORY, &[]),
        client.query_typed(HELD, &asked),
    );
    let role = role.map_err(failed)?;
    let role = role
        .first()
        .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))?;
    let history = history.ok();
    let history = history.as_ref().and_then(|rows| rows.first());
    let system = history.map(|row| column(row, 0)).transpose()?;
    let timeline = history.map(|row| column(row, 1)).transpose()?;
    // There may be no schema yet, or no right to use it.
    let held = held.unwrap_or_default();
    let names = held.iter().map(|row| column::<Option<String>>(row, 0));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(Sight {
        name,
        server: Server {
            system,
            started: column(role, 2)?,
        },
        standby: column(role, 0)?,
        read_only: column(role, 1)?,
        timeline: timeline.unwrap_or(1),
        busy: !held.is_empty(),
        held: names.into_iter().flatten().collect(),
    })
}

/// The places to connect to, the best first: one of each cluster, in the order of the string.
///
/// Never the second best of a cluster: where the best is not fit, that must be said.
pub(crate) async fn choose(
    ways: &Arc<Ways>,
    timings: &Timings,
) -> Result<(Vec<usize>, Vec<Sight>), Error> {
    let round = look(ways, timings, &[], Some(timings.lease / 4)).await;
    let writable: Vec<&(usize, Sight)> = round
        .sights
        .iter()
        .filter(|(_, sight)| sight.writable())
        .collect();
    if writable.is_empty() {
        return Err(connect::most_telling(round.all_failures()));
    }
    let mut systems = vec![];
    for (_, sight) in &writable {
        if !systems.contains(&sight.server.system) {
            systems.push(sight.server.system);
        }
    }
    let best = |system: &Option<i64>| {
        let of_it = writable
            .iter()
            .filter(|(_, sight)| sight.server.system == *system);
        of_it
            .max_by_key(|(_, sight)| sight.rank())
            .map(|(index, _)| *index)
    };
    let order = systems.iter().filter_map(best).collect();
    let sights = writable
        .into_iter()
        .map(|(_, sight)| sight.clone())
        .collect();
    Ok((order, sights))
}

impl Round {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(name: &str, started: i64, timeline: i64, busy: bool) -> Sight {
        Sight {
            name: name.to_owned(),
            server: Server {
                system: Some(7),
                started,
            },
            standby: false,
            read_only: false,
            timeline,
            busy,
            held: BTreeSet::new(),
        }
    }

    #[test]
    fn the_newest_timeline_comes_first_then_the_leader_then_the_oldest_server() {
        let least_first = [
            sight("a", 1, 1, true),
            sight("b", 9, 2, false),
            sight("c", 8, 2, false),
            sight("d", 9, 2, true),
            sight("e", 8, 2, true),
            sight("f", 9, 3, false),
        ];
        assert!(least_first.is_sorted_by_key(Sight::rank));
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
}
