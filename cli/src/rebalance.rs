//! `pg-leader rebalance`: many elections spread over their candidates, by orderly transfers.

mod plan;

use std::process::ExitCode;
use std::time::Duration;

use pg_leader::ErrorKind;
use pg_leader::operator::{ElectionStatus, Operator};
use serde_json::json;

use self::plan::{Led, Move, counts, plan};
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{Form, print, print_json};

/// How often is looked whether the other one leads.
const POLL: Duration = Duration::from_millis(20);

/// Beside the ten leases after which the candidates give a transfer up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Spread elections evenly over the addresses of their candidates.
///
/// Whoever came first leads everything; after this each address leads about as many as the others. One election after
/// the other is transferred in order, and few of them. Left alone are those that nobody leads, that are
/// suspended or being transferred; an address that is excluded, and one of a lower priority, gets none.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Example:
  pg-leader rebalance --dry-run
  pg-leader rebalance --reason \"a third node\"

JSON: a line for each transfer: election, from, to, done (null with --dry-run).

Exit status: 1 where a candidate did not take its election over; the others were transferred.")]
pub(crate) struct Arguments {
    /// These. Without any: all.
    elections: Vec<String>,

    /// Say what would be transferred, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Why, in a few words: `history` shows it.
    #[arg(long, value_name = "TEXT", default_value = "rebalance")]
    reason: String,

    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let operator = connection.operator("rebalance").await?;
        let all_led = self.read(&operator).await?;
        let moves = plan(&all_led);
        if !self.form.json {
            say(&all_led, &moves)?;
        }
        let mut all_done = true;
        for (number, one) in moves.iter().enumerate() {
            let done = match self.dry_run {
                true => None,
                false => Some(self.transfer(&operator, one).await?),
            };
            all_done &= done != Some(false);
            let Move { election, from, to } = one;
            if self.form.json {
                print_json(&json!({"election": election, "from": from, "to": to, "done": done}))?;
                continue;
            }
            let said = match done {
                None => "",
                Some(true) => ": done",
                Some(false) => {
                    ": not taken over; pg-leader history --requests says what became of it"
                }
            };
            print(format!(
                "{}/{} {election}: {from} to {to}{said}",
                number + 1,
                moves.len()
            ))?;
        }
        Ok(match all_done {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    async fn read(&self, operator: &Operator) -> Result<Vec<Led>, Failure> {
        let mut all = operator.status().await?;
        if let Some(unknown) = self
            .elections
            .iter()
            .find(|name| !all.iter().any(|one| one.name == **name))
        {
            return Err(Failure::no_election(unknown));
        }
        all.retain(|one| self.elections.is_empty() || self.elections.contains(&one.name));
        let mut all_led = vec![];
        for ElectionStatus {
            name,
            address,
            suspended_by,
            transfer_to,
            ..
        } in all
        {
            let (Some(leader), None, None) = (address, suspended_by, transfer_to) else {
                continue;
            };
            let candidates = operator.candidates(&name).await?;
            let may = candidates.iter().filter(|one| !one.excluded);
            let highest = may.clone().map(|one| one.priority).max();
            let first = may.filter(|one| Some(one.priority) == highest);
            all_led.push(Led {
                candidates: first.map(|one| one.address.clone()).collect(),
                election: name,
                leader,
            });
        }
        Ok(all_led)
    }

    /// Whether it leads.
    async fn transfer(&self, operator: &Operator, one: &Move) -> Result<bool, Failure> {
        let Some(before) = operator.status_of(&one.election).await? else {
            return Ok(false);
        };
        let limit = before.lease.unwrap_or_default() * 10 + PATIENCE;
        let asked = operator.transfer(&one.election, &one.to, Some(&self.reason));
        match asked.await {
            // It has left since, say. The next one does not suffer for it.
            Err(refused)
                if matches!(refused.kind(), ErrorKind::Refused | ErrorKind::NoElection) =>
            {
                tracing::warn!("{}: {refused}", one.election);
                return Ok(false);
            }
            // Nobody leads it now, or that one does already.
            Ok(asked) if asked.request.is_none() => {
                let now = operator.status_of(&one.election).await?;
                return Ok(now.is_some_and(|now| now.address.as_ref() == Some(&one.to)));
            }
            asked => drop(asked?),
        }
        let leads = async {
            loop {
                let now = operator.status_of(&one.election).await?;
                if now.is_some_and(|now| now.address.as_ref() == Some(&one.to)) {
                    return Ok::<(), Failure>(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(limit, leads).await {
            Ok(leads) => leads.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

/// How many each leads, and will.
fn say(all_led: &[Led], moves: &[Move]) -> Result<(), Failure> {
    if all_led.is_empty() {
        return print("there is no election here that somebody leads and that may be transferred");
    }
    for (address, (now, then)) in counts(all_led, moves) {
        let then = match now == then {
            true => String::new(),
            false => format!(", and then {then}"),
        };
        print(format!("{address} leads {now}{then}"))?;
    }
    match moves {
        [] => print("nothing is to be transferred"),
        _ => Ok(()),
    }
}
