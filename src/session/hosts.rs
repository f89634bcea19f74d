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
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connect::{self, Ways};
use super::statements::{Parameter, column};
use crate::engine::Timings;
use crate::error::{Error, Kind};

const ROLE: &str = "
    SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
           (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8";

const SYSTEM: &str = "SELECT c.system_identifier FROM pg_control_system() AS c";

const TIMELINE: &str = "
    SELECT CASE WHEN NOT pg_is_in_recovery()
                THEN ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::int8 END";

/// A primary may not have written one since its promotion.
const CHECKPOINT: &str = "SELECT c.timeline_id::int8 FROM pg_control_checkpoint() AS c";

/// Of the elections asked for, by name: ids may differ where timelines have parted.
const HELD: &str = "
    SELECT e.name
    FROM pgleader.lock AS l
    LEFT JOIN pgleader.read_elections($1) AS e ON e.election = l.election_id
    WHERE l.kind = 'pgleader.election'::regclass AND l.granted";

/// A running server, whatever its host is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    /// `None`: it does not tell.
    pub(crate) system: Option<i64>,
    /// When it was started, by its own clock; only ever compared with that of copies of the same cluster.
    pub(crate) started: i64,
}

/// What a host was seen to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) standby: bool,
    pub(crate) read_only: bool,
    /// `None`: it does not tell.
    pub(crate) timeline: Option<i64>,
    /// `None`: it could not be found out.
    pub(crate) held: Option<Held>,
}

/// What is led on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Of the elections that were asked for.
    pub(crate) elections: BTreeSet<String>,
    /// None were asked for, and some election is led there.
    pub(crate) any: bool,
}

impl Sight {
    pub(crate) fn writable(&self) -> bool {
        !self.standby && !self.read_only
    }

    /// Whether both are copies of one cluster that accept writes, and not one server under two names. Two that do
    /// not tell what they are copies of are of different clusters.
    pub(crate) fn rivals(&self, other: &Sight) -> bool {
        self.writable()
            && other.writable()
            && self.server.system.is_some()
            && self.server.system == other.server.system
            && self.server != other.server
    }

    fn is_led(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.any || !held.elections.is_empty())
    }

    /// Of those that are rivals the greatest is taken, by every process alike: the newest timeline (one that is
    /// not told counts as older than any), then where the election is led, then the one that has run longest.
    ///
    /// Hazard: names come last, for two strings may call a host differently. If they came first, two leaders
    /// whose strings name the hosts in their own words would each stay where it is, for ever.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let since = Reverse(self.server.started);
        (
            self.timeline,
            self.is_led(),
            since,
            Reverse(self.name.clone()),
        )
    }

    fn failure(&self) -> Option<Error> {
        match (self.standby, self.read_only) {
            (true, _) => Some(Error::new(Kind::Standby)),
            (_, true) => Some(Error::new(Kind::ReadOnly)),
            _ => None,
        }
    }
}

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

    fn add(&mut self, ways: &Ways, index: usize, seen: Result<Sight, Error>) {
        match seen {
            Ok(sight) => self.sights.push((index, sight)),
            Err(error) => self.failures.push((index, ways.name(index), error)),
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

/// All hosts, looked at side by side. What is dropped goes on by itself.
pub(crate) struct Looks {
    ways: Arc<Ways>,
    running: FuturesUnordered<Look>,
    waiting: BTreeSet<usize>,
}

impl Looks {
    pub(crate) fn begin(ways: &Arc<Ways>, timings: &Timings, elections: &[String]) -> Looks {
        let look = |index| -> Look {
            let (ways, timings) = (Arc::clone(ways), timings.clone());
            let elections = elections.to_vec();
            let task =
                tokio::spawn(async move { look_at(&ways, index, &timings, &elections).await });
            Box::pin(async move {
                let seen = task.await.unwrap_or_else(|panic| {
                    let why = Kind::Unreachable("a panic".to_owned());
                    Err(Error::caused(why, panic))
                });
                (index, seen)
            })
        };
        Looks {
            ways: Arc::clone(ways),
            running: (0..ways.count()).map(look).collect(),
            waiting: (0..ways.count()).collect(),
        }
    }

    /// All that answer. `rest`: so long the others get after the first that accepts writes, but for the one that
    /// is `wanted`.
    pub(crate) async fn round(&mut self, rest: Option<Duration>, wanted: Option<&str>) -> Round {
        let mut over: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(std::future::pending());
        let mut is_over = false;
        let mut round = Round::default();
        let mut found = false;
        loop {
            let wants = |index: &usize| wanted == Some(self.ways.name(*index).as_str());
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
            };
            self.waiting.remove(&index);
            let writes = seen.as_ref().is_ok_and(Sight::writable);
            if writes && !found {
                found = true;
                if let Some(rest) = rest {
                    over = Box::pin(tokio::time::sleep(rest));
                }
            }
            round.add(&self.ways, index, seen);
        }
        let waiting = self.waiting.iter();
        round.silent = waiting
            .map(|&index| (index, self.ways.name(index)))
            .collect();
        round.sights.sort_by_key(|(index, _)| *index);
        round
    }

    /// What comes after its round; never where nothing does. Cancel safe.
    pub(crate) async fn late(&mut self) -> Round {
        let Some((index, seen)) = self.running.next().await else {
            return std::future::pending().await;
        };
        self.waiting.remove(&index);
        let mut round = Round::default();
        round.add(&self.ways, index, seen);
        round
    }
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

/// Whether this says that there is nothing to ask: no schema, no such relation or function, or no right to use it.
/// Any other failure says nothing of the server.
fn is_absent(code: Option<&SqlState>) -> bool {
    let absent = [
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_FUNCTION,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    code.is_some_and(|code| absent.contains(code))
}

/// What a session tells of its server. One round trip.
pub(crate) async fn see(
    client: &Client,
    name: String,
    elections: &[String],
) -> Result<Sight, Error> {
    type Rows = Result<Vec<Row>, tokio_postgres::Error>;
    let failed = |error| Error::session("looking at the host", error);
    let absent = |error: &tokio_postgres::Error| is_absent(error.code());
    let told = |rows: Rows| -> Result<Option<i64>, Error> {
        match rows {
            Ok(rows) => Ok(rows
                .first()
                .map(|row| column(row, 0))
                .transpose()?
                .flatten()),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    };
    let asked: [Parameter<'_>; 1] = [(&elections, Type::TEXT_ARRAY)];
    // Each may fail alone.
    let (role, system, timeline, checkpoint, held) = tokio::join!(
        biased;
        client.query_typed(ROLE, &[]),
        client.query_typed(SYSTEM, &[]),
        client.query_typed(TIMELINE, &[]),
        client.query_typed(CHECKPOINT, &[]),
        client.query_typed(HELD, &asked),
    );
    let role = role.map_err(failed)?;
    let role = role
        .first()
        .ok_or_else(|| Error::new(Kind::Unexpected("no row".to_owned())))?;
    let standby = column(role, 0)?;
    let (system, timeline, checkpoint) = (told(system)?, told(timeline)?, told(checkpoint)?);
    let held = match held {
        Ok(rows) => {
            let names = rows.iter().map(|row| column::<Option<String>>(row, 0));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            Some(Held {
                any: elections.is_empty() && !rows.is_empty(),
                elections: names.into_iter().flatten().collect(),
            })
        }
        Err(error) if absent(&error) => Some(Held::default()),
        Err(_) => None,
    };
    Ok(Sight {
        name,
        server: Server {
            system,
            started: column(role, 2)?,
        },
        standby,
        read_only: column(role, 1)?,
        timeline: timeline.or(checkpoint.filter(|_| standby)),
        held,
    })
}

/// What a process knows before it connects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Those that it takes part in.
    pub(crate) elections: Vec<String>,
    /// The host that it has left another one for: it gets all the time that there is.
    pub(crate) wanted: Option<String>,
}

/// The places to connect to, the best first: one of each cluster, in the order of the string.
///
/// Never the second best of a cluster: where the best is not fit, that must be said.
pub(crate) async fn choose(
    ways: &Arc<Ways>,
    timings: &Timings,
    known: &Known,
) -> Result<(Vec<usize>, Round), Error> {
    let mut looks = Looks::begin(ways, timings, &known.elections);
    let rest = Some(timings.look_limit());
    let round = looks.round(rest, known.wanted.as_deref()).await;
    let order = best(&round.sights);
    if order.is_empty() {
        return Err(connect::most_telling(round.all_failures()));
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
            held: Some(Held {
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

    #[test]
    fn only_what_says_that_there_is_nothing_counts_as_nothing() {
        for code in ["3F000", "42P01", "42883", "42501"] {
            assert!(is_absent(Some(&SqlState::from_code(code))), "{code}");
        }
        for code in [
            "55P03", "57014", "53200", "57P01", "08006", "XX000", "25P02",
        ] {
            assert!(!is_absent(Some(&SqlState::from_code(code))), "{code}");
        }
        assert!(!is_absent(None));
    }
}
