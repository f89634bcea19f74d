//! `pg-leader watch`: what elections do, as it happens.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use pg_leader::operator::ElectionStatus;
use pg_leader::{ElectionState, Elector, ErrorKind, Observer, Standing};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{Form, Line, or_dash, print_json, time};

/// How often is read what nobody tells of, at most.
const POLL: Duration = Duration::from_secs(1);

/// Follow elections: a line for how each stands, then one for every change.
///
/// Changes are pushed by the database; behind a pool that carries no notifications they are read each second. When the session is lost the state is unknown until
/// the next one; a change that came and went meanwhile is not shown, and pg-leader history has it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader watch
  pg-leader watch billing --json | jq --unbuffered -r 'select(.state == \"leading\") | .address'

JSON: at (by this machine's clock), election, state (unknown, vacant, recovering, leading), term, address, waiting_for
(resume, transfer, and so on: what stands in everybody's way, as far as operators have put it there).")]
pub(crate) struct Arguments {
    /// These. Without any: all that are there when it starts.
    elections: Vec<String>,

    /// How often what is shown is read again, in case a notification was lost.
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    retry_interval: humantime::Duration,

    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let mut elections = self.elections.clone();
        if elections.is_empty() {
            let all = connection.operator("watch").await?.status().await?;
            elections.extend(all.into_iter().map(|status| status.name));
        }
        if elections.is_empty() {
            return Err(Failure::failed(
                "there are no elections here yet: name the one to wait for",
            ));
        }
        let config = connection
            .config("watch")?
            .install(false)
            .retry_interval(self.retry_interval.into());
        let elector = match Elector::connect(config).await {
            // It carries no notifications.
            Err(error) if error.kind() == ErrorKind::Pooler => {
                return self.poll(connection, &elections).await;
            }
            elector => elector?,
        };
        let observers = elections
            .iter()
            .map(|election| elector.observe(election))
            .collect::<Result<Vec<_>, _>>()?;
        let mut changes = changes(&observers);
        while let Some((election, standing)) = changes.next().await {
            // The first is what is known before anything was read.
            if standing == Standing::default() {
                continue;
            }
            self.show(election, &standing)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Arguments {
    /// Read them again and again, and tell what has changed.
    async fn poll(
        &self,
        connection: &Connection,
        elections: &[String],
    ) -> Result<ExitCode, Failure> {
        let mut operator = connection.operator("watch").await.map(Some)?;
        let mut shown: Vec<Option<Standing>> = vec![None; elections.len()];
        loop {
            let all = match &operator {
                Some(operator) => operator.status().await,
                None => Ok(vec![]),
            };
            let all = match all {
                // The session is gone, or there is none yet: nothing is known.
                Err(error) if error.is_retryable() => {
                    operator = None;
                    vec![]
                }
                all => all?,
            };
            for (election, shown) in elections.iter().zip(&mut shown) {
                let status = all.iter().find(|status| status.name == *election);
                let standing = status.map(standing_of).unwrap_or_default();
                if shown.as_ref() != Some(&standing) {
                    self.show(election, &standing)?;
                    *shown = Some(standing);
                }
            }
            tokio::time::sleep(POLL.min(self.retry_interval.into())).await;
            if operator.is_none() {
                operator = connection.operator("watch").await.ok();
            }
        }
    }

    fn show(&self, election: &str, standing: &Standing) -> Result<(), Failure> {
        if self.form.json {
            print_json(&as_json(election, standing))?;
        } else {
            as_line(election, standing).print()?;
        }
        Ok(())
    }
}

fn standing_of(status: &ElectionStatus) -> Standing {
    let mut standing = Standing::default();
    standing.state = status.state;
    standing.term = status.term;
    standing.address.clone_from(&status.address);
    standing.waiting_for = status.waiting_for;
    standing
}

type Change<'a> = (&'a str, Standing);

fn changes(observers: &[Observer]) -> SelectAll<impl futures_util::Stream<Item = Change<'_>>> {
    select_all(observers.iter().map(|observer| {
        let election = observer.election();
        observer.changes().map(move |standing| (election, standing))
    }))
}

fn as_line(election: &str, standing: &Standing) -> Line {
    let style = match standing.state {
        ElectionState::Leading => console::Style::new().green(),
        ElectionState::Recovering => console::Style::new().yellow(),
        _ => console::Style::new().red(),
    };
    let waiting = standing
        .waiting_for
        .map(|what| format!("  waiting for {what}"));
    Line::new()
        .text(format!("{}  {election}  ", time(SystemTime::now())))
        .styled(&style, format!("{:<10}", standing.state))
        .text(format!(
            "  term {}  {}{}",
            standing.term,
            or_dash(standing.address.as_ref()),
            waiting.unwrap_or_default()
        ))
}

fn as_json(election: &str, standing: &Standing) -> Value {
    json!({
        "at": time(SystemTime::now()),
        "election": election,
        "state": standing.state.to_string(),
        "term": standing.term,
        "address": standing.address,
        "waiting_for": standing.waiting_for.map(|what| what.to_string()),
    })
}
