//! Open a session and prove it fit.

use std::sync::Arc;

use super::addresses::{Addresses, Reached};
use super::endpoints::{Endpoints, most_telling};
use super::fitness;
use super::hosts::{self, Round};
use super::pooler;
use super::sight::see;
use super::wire::Wire;
use crate::config::Config;
use crate::engine::{Search, Sight, Surroundings, Timings};
use crate::error::Error;
use crate::shown::shown;

/// A connection that is proven fit for a session.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    pub(crate) pid: i32,
    pub(crate) direct: bool,
    /// pgpool-II is between: whoever ends this session by force has the server detached.
    pub(crate) pgpool: bool,
    pub(crate) role: String,
    /// Where the connection string names several.
    pub(crate) hosts: Option<Surroundings>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It holds locks: it keeps one backend, which has the settings that were asked for.
    Candidate,
    /// Each statement stands for itself: any backend of a pool will do.
    Question,
}

/// Connect to the host that is a fit primary. The schema is not looked at.
pub(crate) async fn connect(config: &Config, timings: &Timings) -> Result<Connection, Error> {
    let search = Search::default();
    connect_for(Purpose::Candidate, config, timings, &search, &warn).await
}

/// The same for whoever holds no locks, in a pool of any mode.
pub(crate) async fn connect_to_ask(
    config: &Config,
    timings: &Timings,
) -> Result<Connection, Error> {
    let search = Search::default();
    connect_for(Purpose::Question, config, timings, &search, &warn).await
}

fn warn(warning: String) {
    tracing::warn!("{}", shown(&warning));
}

/// As [`connect`]. `say` hears what somebody should be warned of.
pub(crate) async fn connect_and_say(
    config: &Config,
    timings: &Timings,
    search: &Search,
    say: &(dyn Fn(String) + Sync),
) -> Result<Connection, Error> {
    connect_for(Purpose::Candidate, config, timings, search, say).await
}

async fn connect_for(
    purpose: Purpose,
    config: &Config,
    timings: &Timings,
    search: &Search,
    say: &(dyn Fn(String) + Sync),
) -> Result<Connection, Error> {
    let endpoints = Endpoints::find(config, timings, say).await?;
    let (order, round) = if endpoints.several() {
        hosts::choose(&endpoints, timings, search).await?
    } else {
        ((0..endpoints.count()).collect(), Round::default())
    };
    let mut failures: Vec<(String, Error)> = vec![];
    for index in order {
        let opened = open(purpose, &endpoints, index, timings, search).await;
        match opened {
            Ok((connection, own)) => {
                let survey = round.survey();
                let hosts = own.map(|own| Surroundings { own, survey });
                return Ok(Connection {
                    hosts,
                    ..connection
                });
            }
            Err(error) => failures.push((endpoints.name(index), error)),
        }
    }
    Err(most_telling(failures))
}

/// At the first of its addresses that is fit. What it is where the connection string names several hosts.
async fn open(
    purpose: Purpose,
    endpoints: &Arc<Endpoints>,
    index: usize,
    timings: &Timings,
    search: &Search,
) -> Result<(Connection, Option<Sight>), Error> {
    let mut calls = Addresses::begin(endpoints, index, timings).await?;
    while let Some(called) = calls.next().await {
        let turn = called.turn();
        let proving = async {
            let mut connection = match purpose {
                Purpose::Candidate => prove(called, endpoints, index, timings).await?,
                Purpose::Question => ask(called, endpoints, index).await?,
            };
            if endpoints.several() {
                let client = Arc::clone(connection.wire.client());
                let own = see(&client, endpoints.name(index), &search.elections);
                let own = connection.wire.drive(own).await?;
                return Ok((connection, Some(own)));
            }
            Ok((connection, None))
        };
        if let Some(opened) = calls.within(turn, proving).await {
            return Ok(opened);
        }
    }
    Err(calls.error())
}

async fn ask(called: Reached, endpoints: &Endpoints, index: usize) -> Result<Connection, Error> {
    let mut wire = called.wire;
    let client = Arc::clone(wire.client());
    let asked = fitness::primary(&client, &endpoints.options);
    Ok(Connection {
        pid: wire.drive(asked).await?,
        wire,
        direct: false,
        pgpool: false,
        role: endpoints.user(index),
        hosts: None,
    })
}

async fn prove(
    called: Reached,
    endpoints: &Endpoints,
    index: usize,
    timings: &Timings,
) -> Result<Connection, Error> {
    let Reached {
        mut wire,
        ends,
        is_bare,
        ..
    } = called;
    let client = Arc::clone(wire.client());
    let proof = match is_bare {
        true => {
            wire.drive(fitness::bare(&client, &endpoints.options))
                .await?
        }
        false => {
            wire.drive(fitness::server(&client, &endpoints.options, ends))
                .await?
        }
    };
    let pgpool = !proof.direct && wire.drive(pooler::is_pgpool(&client)).await?;
    if proof.pooled {
        let second = endpoints.call_again(index, ends, timings, is_bare);
        // The other half is for what was done before.
        let second_within = endpoints.limit() / 2;
        let rounds = if proof.unset {
            pooler::MORE_ROUNDS
        } else {
            pooler::ROUNDS
        };
        pooler::keeps_backends(&mut wire, proof.pid, rounds, second, second_within).await?;
    }
    if proof.unset {
        wire.drive(fitness::set(&client, &endpoints.options))
            .await?;
    }
    if is_bare {
        wire.drive(fitness::locks(&client, proof.pid)).await?;
    }
    Ok(Connection {
        wire,
        pid: proof.pid,
        direct: proof.direct,
        pgpool,
        role: endpoints.user(index),
        hosts: None,
    })
}
