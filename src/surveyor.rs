//! Looks at the hosts of the connection string when the engine wants it, and decides nothing.

use futures_util::future::BoxFuture;
use tracing::Level;

use crate::config::Config;
use crate::connection::Endpoints;
use crate::connection::hosts::{Looks, Round};
use crate::engine::{Input, Timings};
use crate::error::{Error, Kind};
use crate::foreign::log::{Entry, Log};

pub(crate) struct Surveyor {
    config: Config,
    timings: Timings,
    log: Log,
    doing: Doing,
}

enum Doing {
    Nothing,
    Looking(BoxFuture<'static, Result<(Round, Box<Looks>), Error>>),
    /// What some host says after the look.
    Waiting(Box<Looks>),
}

impl Surveyor {
    pub(crate) fn new(config: &Config, timings: &Timings, log: &Log) -> Self {
        Surveyor {
            config: config.clone(),
            timings: timings.clone(),
            log: log.clone(),
            doing: Doing::Nothing,
        }
    }

    /// The session is gone.
    pub(crate) fn rest(&mut self) {
        self.doing = Doing::Nothing;
    }

    pub(crate) fn look(&mut self, elections: Vec<String>) {
        let (config, timings, log) = (self.config.clone(), self.timings.clone(), self.log.clone());
        self.doing = Doing::Looking(Box::pin(async move {
            let say = |warning| log.say(Entry::new(Level::WARN, warning));
            let find = Endpoints::find(&config, &timings, &say);
            let limit = timings.round_limit();
            let found = tokio::time::timeout(limit, find).await;
            let late = |_| Error::new(Kind::Unreachable(format!("nothing within {limit:?}")));
            let endpoints = found.map_err(late)??;
            let mut looks = Looks::begin(&endpoints, &timings, &elections);
            let round = looks.short_round().await;
            Ok((round, Box::new(looks)))
        }));
    }

    /// What was seen. Cancel safe. An error may have been made by the application's hook for credentials: where it is
    /// dropped is the caller's to say.
    pub(crate) async fn next(&mut self) -> (Input, Option<Error>) {
        let looked = match &mut self.doing {
            Doing::Nothing => std::future::pending().await,
            Doing::Looking(look) => look.await,
            Doing::Waiting(looks) => {
                let survey = Some(looks.late().await.survey());
                return (Input::Looked { survey, late: true }, None);
            }
        };
        let (survey, error) = match looked {
            Ok((round, looks)) => {
                let survey = round.survey();
                self.doing = Doing::Waiting(looks);
                (Some(survey), None)
            }
            Err(error) => {
                self.doing = Doing::Nothing;
                let message = format!("the hosts cannot be looked at: {error}");
                self.log.say(Entry::new(Level::DEBUG, message));
                (None, Some(error))
            }
        };
        let late = false;
        (Input::Looked { survey, late }, error)
    }
}
