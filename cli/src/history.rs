//! `pg-leader history`: the last terms, and how each ended; what operators asked for.

use std::process::ExitCode;

use comfy_table::Color;
use pg_leader::operator::{Lever, PastRequest, PastTerm, TermEnding};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{Cell, Form, duration, or_dash, print_all, print_table, table, time};

/// Show the last terms, the newest first: who led, for how long, how it ended and who did it.
///
/// With --requests what operators asked for instead, also what ended no term: a resume, an include, a suspension
/// while nobody led, the exclusion of a follower.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  pg-leader history billing --limit 5
  pg-leader history --json | jq 'select(.ending == \"lost\")'
  pg-leader history billing --requests

Endings: resigned (given up by its process), stepped down (an operator asked, REQUEST says how), failed (its work
returned an error), deposed (lost; its process has said since that its work stopped), lost (its process has not
been heard of since).

Exit status: 6 where ELECTION is given and there is none of that name.

JSON: election, term, address, started_at, ready_at, ended_at, ending, request, by, reason, fenced_ended. With
--requests: id, election, request (step down, transfer, suspend, exclude, depose), address, term (the newest when it was
asked for), by, at, reason, ended_by (who resumed or included), ended_reason, ended_at (null while in force).")]
pub(crate) struct Arguments {
    /// Only this one.
    election: Option<String>,

    /// What operators asked for, instead of terms.
    #[arg(long)]
    requests: bool,

    /// So many at most. The database keeps the last 1,000 terms of each election.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u32,

    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let operator = connection.operator("history").await?;
        let election = self.election.as_deref();
        if let Some(election) = election
            && operator.status_of(election).await?.is_none()
        {
            return Err(Failure::no_election(election));
        }
        if self.requests {
            let requests = operator.requests(election, self.limit).await?;
            if self.form.json {
                print_all(requests.iter().map(request_as_json))?;
            } else {
                show_requests(&requests)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let terms = operator.history(election, self.limit).await?;
        if self.form.json {
            print_all(terms.iter().map(as_json))?;
        } else {
            show(&terms)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(terms: &[PastTerm]) -> Result<(), Failure> {
    let mut table = table(&[
        "ELECTION", "TERM", "LEADER", "BEGAN", "LASTED", "ENDING", "REQUEST", "BY", "REASON",
    ]);
    for term in terms {
        let lasted = term
            .ended_at
            .map(|end| duration(end.duration_since(term.started_at).unwrap_or_default()));
        let (ending, colour) = match term.ending {
            None => ("goes on", Color::Green),
            Some(ending @ (TermEnding::Resigned | TermEnding::SteppedDown)) => {
                (ending.as_str(), Color::Reset)
            }
            Some(ending) => (ending.as_str(), Color::Red),
        };
        table.add_row(vec![
            Cell::new(&term.election),
            Cell::new(term.term),
            Cell::new(&term.address),
            Cell::new(humantime::format_rfc3339_seconds(term.started_at)),
            Cell::new(or_dash(lasted)),
            Cell::new(ending).fg(colour),
            Cell::new(or_dash(term.request.as_ref())),
            Cell::new(or_dash(term.by.as_ref())),
            Cell::new(or_dash(term.reason.as_ref())),
        ]);
    }
    print_table(&table)
}

fn show_requests(requests: &[PastRequest]) -> Result<(), Failure> {
    let mut table = table(&[
        "ID", "ELECTION", "REQUEST", "ADDRESS", "TERM", "BY", "AT", "REASON", "ENDED", "ENDED BY",
    ]);
    for request in requests {
        let ended = match request.ended_at {
            None => Cell::new("in force").fg(Color::Yellow),
            Some(end) => Cell::new(humantime::format_rfc3339_seconds(end)),
        };
        table.add_row(vec![
            Cell::new(request.id),
            Cell::new(&request.election),
            Cell::new(request.request),
            Cell::new(or_dash(request.address.as_ref())),
            Cell::new(request.term),
            Cell::new(&request.by),
            Cell::new(humantime::format_rfc3339_seconds(request.at)),
            Cell::new(or_dash(request.reason.as_ref())),
            ended,
            Cell::new(or_dash(request.ended_by.as_ref())),
        ]);
    }
    print_table(&table)
}

fn request_as_json(request: &PastRequest) -> Value {
    json!({
        "id": request.id,
        "election": request.election,
        "request": request.request.as_str(),
        "address": request.address,
        "term": request.term,
        "by": request.by,
        "at": time(request.at),
        "reason": request.reason,
        "ended_by": request.ended_by,
        "ended_reason": request.ended_reason,
        "ended_at": request.ended_at.map(time),
    })
}

fn as_json(term: &PastTerm) -> Value {
    json!({
        "election": term.election,
        "term": term.term,
        "address": term.address,
        "started_at": time(term.started_at),
        "ready_at": term.ready_at.map(time),
        "ended_at": term.ended_at.map(time),
        "ending": term.ending.map(TermEnding::as_str),
        "request": term.request.map(Lever::as_str),
        "by": term.by,
        "reason": term.reason,
        "fenced_ended": term.fenced_ended,
    })
}
