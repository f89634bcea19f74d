//! What the database says of the election, read again and again.

use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::database::{connect, explain};
use crate::screen::Screen;
use crate::{Error, LEASE};

const INTERVAL: Duration = Duration::from_millis(25);

/// The election's row in `pgleader.status`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Status {
    pub(crate) term: i64,
    pub(crate) state: String,
    pub(crate) address: Option<String>,
    pub(crate) successor: Option<String>,
    pub(crate) candidates: i64,
    pub(crate) waiting_for: Option<String>,
    pub(crate) since: Duration,
}

impl Status {
    /// Somebody leads, somebody is next in line, and so many take part.
    pub(crate) fn is_settled(&self, candidates: usize) -> bool {
        self.state == "leading"
            && self.successor.is_some()
            && usize::try_from(self.candidates) == Ok(candidates)
    }

    async fn read(client: &Client, election: &str) -> Result<Option<Status>, Error> {
        let query = "SELECT term, state, address, successor, candidates, waiting_for, \
                     extract(epoch FROM clock_timestamp() - since)::float8 \
                     FROM pgleader.status WHERE name = $1";
        // A server that crashes may leave a connection without an answer.
        let parameters: [&(dyn ToSql + Sync); 1] = [&election];
        let answer = client.query_opt(query, &parameters);
        let row = tokio::time::timeout(LEASE, answer)
            .await?
            .map_err(explain)?;
        row.map(|row| Status::from_row(&row)).transpose()
    }

    fn from_row(row: &Row) -> Result<Status, Error> {
        Ok(Status {
            term: row.try_get(0)?,
            state: row.try_get(1)?,
            address: row.try_get(2)?,
            successor: row.try_get(3)?,
            candidates: row.try_get(4)?,
            waiting_for: row.try_get(5)?,
            since: Duration::try_from_secs_f64(row.try_get(6)?).unwrap_or_default(),
        })
    }
}

/// The status from now on; `None` while the server does not answer. What changes is told on the screen.
pub(crate) fn watch(url: &str, election: &str, screen: &Screen) -> watch::Receiver<Option<Status>> {
    let (sender, receiver) = watch::channel(None);
    let (url, election, screen) = (url.to_owned(), election.to_owned(), screen.clone());
    tokio::spawn(async move {
        let mut told = Told::default();
        while !sender.is_closed() {
            if let Ok(client) = connect(&url).await {
                while let Ok(status) = Status::read(&client, &election).await {
                    told.tell(status.as_ref(), &screen);
                    screen.status(status.clone());
                    sender.send_replace(status);
                    tokio::time::sleep(INTERVAL).await;
                }
            }
            told.silence(&screen);
            screen.status(None);
            sender.send_replace(None);
            tokio::time::sleep(INTERVAL).await;
        }
    });
    receiver
}

/// What has been said last, so that only changes are.
#[derive(Default)]
struct Told {
    answered: Option<bool>,
    leader: Option<(i64, String)>,
    waiting_for: Option<String>,
    successor: Option<String>,
}

impl Told {
    fn tell(&mut self, status: Option<&Status>, screen: &Screen) {
        if self.answered.replace(true) == Some(false) {
            screen.happened("the server answers again");
        }
        let Some(status) = status else { return };
        let leader = status.address.clone().map(|address| (status.term, address));
        if leader.is_some() && self.leader != leader {
            let address = status.address.as_deref().unwrap_or_default();
            screen.happened(format!("term {} begins: {address} leads", status.term));
            self.leader = leader;
        }
        if let Some(waits) = &status.waiting_for
            && self.waiting_for != status.waiting_for
        {
            screen.happened(format!("nobody leads: waiting for {}", awaited(waits)));
        }
        self.waiting_for.clone_from(&status.waiting_for);
        if let Some(successor) = &status.successor
            && self.successor != status.successor
        {
            screen.happened(format!("{successor} is next in line"));
        }
        self.successor.clone_from(&status.successor);
    }

    fn silence(&mut self, screen: &Screen) {
        if self.answered.replace(false) == Some(true) {
            screen.happened("the server does not answer");
        }
    }
}

/// `waiting_for` in a sentence.
fn awaited(waiting_for: &str) -> &str {
    match waiting_for {
        "refractory period" => "the end of the refractory period",
        other => other,
    }
}
