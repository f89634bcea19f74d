//! `pg-leader status`: how elections stand.

use std::process::ExitCode;
use std::time::SystemTime;

use comfy_table::Color;
use pg_leader::operator::{Backend, CandidateStatus, ElectionStatus, Stranger};
use pg_leader::{ElectionState, WaitingFor};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::exit::{Failure, NOT_LED};
use crate::output::{
    Cell, Form, Line, ago, duration, or_dash, print, print_all, print_json, print_table, table,
    time,
};
use crate::trouble;

/// Show who leads, since when, who is next, and what is wrong.
///
/// Without ELECTION all of this database are shown; with it also who takes part.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader status
  pg-leader status billing --json | jq -r .address
  if pg-leader status billing >/dev/null; then echo somebody leads; fi

Exit status, where ELECTION is given:
  0  somebody leads
  5  nobody leads
  6  there is no such election
As for every subcommand 3 and 4 say that it cannot be known.

JSON: election, state (vacant, recovering, leading), term, address, leader_pid, since, lease_ms, successor,
candidates, waiting_for, suspended_by, transfer_to, excluded, strangers and fenced (pid, prepared, user, application,
client, transaction_since; of strangers also lock: leadership, succession, term), trouble (what is wrong, for people). With ELECTION also members: address, priority, place
(leader, waiting, successor, follower), excluded, lease_ms, pid, joined_at.")]
pub(crate) struct Arguments {
    /// Only this one.
    election: Option<String>,

    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let operator = connection.operator("status").await?;
        let Some(election) = &self.election else {
            let all = operator.status().await?;
            if self.form.json {
                print_all(all.iter().map(as_json))?;
            } else if all.is_empty() {
                print(
                    "There are no elections here yet: one comes into being with its first candidate.",
                )?;
            } else {
                show(&all, operator.now().await?)?;
            }
            return Ok(ExitCode::SUCCESS);
        };
        let status = operator
            .status_of(election)
            .await?
            .ok_or_else(|| Failure::no_election(election))?;
        let members = operator.candidates(election).await?;
        if self.form.json {
            let mut object = as_json(&status);
            object["members"] = members.iter().map(member_as_json).collect();
            print_json(&object)?;
        } else {
            show(std::slice::from_ref(&status), operator.now().await?)?;
            show_members(&members)?;
        }
        Ok(if status.state == ElectionState::Vacant {
            ExitCode::from(NOT_LED)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn show(all: &[ElectionStatus], now: SystemTime) -> Result<(), Failure> {
    let mut table = table(&[
        "ELECTION",
        "STATE",
        "TERM",
        "LEADER",
        "SINCE",
        "LEASE",
        "SUCCESSOR",
        "CANDIDATES",
    ]);
    for status in all {
        table.add_row(vec![
            Cell::new(&status.name),
            Cell::new(status.state).fg(colour(status.state)),
            Cell::new(status.term),
            Cell::new(or_dash(status.address.as_ref())),
            Cell::new(ago(status.since, now)),
            Cell::new(or_dash(status.lease.map(duration))),
            Cell::new(or_dash(status.successor.as_ref())),
            Cell::new(status.candidates),
        ]);
    }
    print_table(&table)?;
    for status in all {
        for trouble in trouble::of(status) {
            Line::new()
                .styled(&console::Style::new().bold(), format!("{}:", status.name))
                .text(format!(" {trouble}"))
                .print()?;
        }
    }
    Ok(())
}

pub(crate) fn colour(state: ElectionState) -> Color {
    match state {
        ElectionState::Leading => Color::Green,
        ElectionState::Recovering => Color::Yellow,
        _ => Color::Red,
    }
}

fn show_members(members: &[CandidateStatus]) -> Result<(), Failure> {
    if members.is_empty() {
        return Ok(());
    }
    let mut table = table(&["CANDIDATE", "PLACE", "PRIORITY", "LEASE", "PID", "EXCLUDED"]);
    for member in members {
        table.add_row(vec![
            member.address.clone(),
            member.place.to_string(),
            member.priority.to_string(),
            duration(member.lease),
            member.pid.to_string(),
            if member.excluded { "yes" } else { "-" }.to_owned(),
        ]);
    }
    print("")?;
    print_table(&table)
}

fn as_json(status: &ElectionStatus) -> Value {
    json!({
        "election": status.name,
        "state": status.state.to_string(),
        "term": status.term,
        "address": status.address,
        "leader_pid": status.leader_pid,
        "since": time(status.since),
        "lease_ms": status.lease.map(milliseconds),
        "successor": status.successor,
        "candidates": status.candidates,
        "waiting_for": status.waiting_for.map(WaitingFor::as_str),
        "suspended_by": status.suspended_by,
        "transfer_to": status.transfer_to,
        "excluded": status.excluded,
        "strangers": status.strangers.iter().map(stranger_as_json).collect::<Value>(),
        "fenced": status.fenced.iter().map(backend_as_json).collect::<Value>(),
        "trouble": trouble::of(status),
    })
}

fn stranger_as_json(stranger: &Stranger) -> Value {
    let mut object = backend_as_json(&stranger.backend);
    object["lock"] = stranger.lock.as_str().into();
    object
}

fn backend_as_json(backend: &Backend) -> Value {
    json!({
        "pid": backend.pid,
        "prepared": backend.prepared,
        "user": backend.user,
        "application": backend.application,
        "client": backend.client,
        "transaction_since": backend.transaction_since.map(time),
    })
}

fn member_as_json(member: &CandidateStatus) -> Value {
    json!({
        "address": member.address,
        "priority": member.priority,
        "place": member.place.as_str(),
        "excluded": member.excluded,
        "lease_ms": milliseconds(member.lease),
        "pid": member.pid,
        "joined_at": time(member.joined_at),
    })
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
