//! The operator's levers: each asks the candidates for something, says what it asked for and what happens next.

use std::process::ExitCode;

use pg_leader::operator::{ElectionStatus, LeverAnswer, Operator};
use serde_json::json;

use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{Form, print, print_json};

/// An election, and how to answer.
#[derive(Debug, clap::Args)]
pub(crate) struct OfElection {
    /// The election.
    election: String,

    /// Why, in a few words: `history` shows it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    form: Form,
}

/// The same for one address.
#[derive(Debug, clap::Args)]
pub(crate) struct OfAddress {
    /// The election.
    election: String,

    /// The address of the candidate, as it gave it. It needs not be there.
    #[arg(long, value_name = "ADDR")]
    address: String,

    /// Why, in a few words: `history` shows it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    form: Form,
}

/// The same for the next leader.
#[derive(Debug, clap::Args)]
pub(crate) struct ToAddress {
    /// The election.
    election: String,

    /// The address of the candidate that shall lead.
    #[arg(long, value_name = "ADDR")]
    to: String,

    /// Why, in a few words: `history` shows it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    #[command(flatten)]
    form: Form,
}

const JSON: &str = "\
JSON: election, lever, address, reason, request (its id, as in history --requests; of a resume and an include that which
is no more in force; null where nothing was asked for), term (the term that ends by it, null where none does), said.

Exit status: 6 where there is no such election.";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Lever {
    /// Ask the leader to give up its term in order; somebody leads on.
    ///
    /// It acts within a heartbeat (an eighth of its lease), and its work gets the grace to stop. The next term
    /// begins when it has. The one that gave up is a candidate still, and holds off for a moment.
    #[command(after_long_help = format!("Example:\n  pg-leader step-down billing\n\n{JSON}"))]
    StepDown(OfElection),

    /// Hand the next term to one candidate.
    ///
    /// The leader gives up in order, and that candidate alone takes over. Refused where it is no live candidate.
    /// Given up after ten leases, or when the candidate is gone: then anybody leads.
    #[command(after_long_help = format!("Example:\n  pg-leader transfer billing --to 10.0.0.6:8080\n\n{JSON}"))]
    Transfer(ToAddress),

    /// Nobody leads until it is resumed.
    ///
    /// The leader gives up in order. Survives restarts of the processes and of the server.
    #[command(after_long_help = format!("Example:\n  pg-leader suspend billing --reason \"moving the ledger\"\n\n{JSON}"))]
    Suspend(OfElection),

    /// Take a suspension back: somebody leads at once.
    #[command(after_long_help = format!("Example:\n  pg-leader resume billing\n\n{JSON}"))]
    Resume(OfElection),

    /// Keep one address from leading, as before its node is drained.
    ///
    /// Where it leads it gives up in order. It is a candidate still, and does not lead until it is included
    /// again. Survives restarts.
    #[command(after_long_help = format!("Example:\n  pg-leader exclude billing --address 10.0.0.5:8080\n\n{JSON}"))]
    Exclude(OfAddress),

    /// Let an excluded address lead again.
    #[command(after_long_help = format!("Example:\n  pg-leader include billing --address 10.0.0.5:8080\n\n{JSON}"))]
    Include(OfAddress),

    /// End the leader's session by force, where it does not act on a step-down.
    ///
    /// Its process stops the work at once, without the grace, and says so from a new session; then the next term
    /// begins. If it says nothing the next term begins after its lease. Safe at any time.
    #[command(after_long_help = format!("Example:\n  pg-leader depose billing\n\n{JSON}"))]
    Depose(OfElection),
}

impl Lever {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let operator = connection.operator("lever").await?;
        let Pulled {
            request,
            term,
            said,
        } = self.pull(&operator).await?;
        if self.form().json {
            print_json(&json!({
                "lever": self.name(),
                "election": self.election(),
                "address": self.address(),
                "reason": self.reason(),
                "request": request,
                "term": term,
                "said": said,
            }))?;
        } else {
            print(said)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn pull(&self, operator: &Operator) -> Result<Pulled, Failure> {
        let election = Election::read(operator, self.election(), self.reason()).await?;
        match self {
            Lever::StepDown(_) => election.step_down().await,
            Lever::Transfer(ToAddress { to, .. }) => election.transfer(to).await,
            Lever::Suspend(_) => election.suspend().await,
            Lever::Resume(_) => election.resume().await,
            Lever::Exclude(OfAddress { address, .. }) => election.exclude(address).await,
            Lever::Include(OfAddress { address, .. }) => election.include(address).await,
            Lever::Depose(_) => election.depose().await,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Lever::StepDown(_) => "step-down",
            Lever::Transfer(_) => "transfer",
            Lever::Suspend(_) => "suspend",
            Lever::Resume(_) => "resume",
            Lever::Exclude(_) => "exclude",
            Lever::Include(_) => "include",
            Lever::Depose(_) => "depose",
        }
    }

    fn election(&self) -> &str {
        match self {
            Lever::StepDown(of) | Lever::Suspend(of) | Lever::Resume(of) | Lever::Depose(of) => {
                &of.election
            }
            Lever::Exclude(of) | Lever::Include(of) => &of.election,
            Lever::Transfer(of) => &of.election,
        }
    }

    fn address(&self) -> Option<&str> {
        match self {
            Lever::StepDown(_) | Lever::Suspend(_) | Lever::Resume(_) | Lever::Depose(_) => None,
            Lever::Exclude(of) | Lever::Include(of) => Some(&of.address),
            Lever::Transfer(of) => Some(&of.to),
        }
    }

    fn reason(&self) -> Option<&str> {
        let reason = match self {
            Lever::StepDown(of) | Lever::Suspend(of) | Lever::Resume(of) | Lever::Depose(of) => {
                &of.reason
            }
            Lever::Exclude(of) | Lever::Include(of) => &of.reason,
            Lever::Transfer(of) => &of.reason,
        };
        reason.as_deref()
    }

    fn form(&self) -> &Form {
        match self {
            Lever::StepDown(of) | Lever::Suspend(of) | Lever::Resume(of) | Lever::Depose(of) => {
                &of.form
            }
            Lever::Exclude(of) | Lever::Include(of) => &of.form,
            Lever::Transfer(of) => &of.form,
        }
    }
}

/// What came of a lever.
struct Pulled {
    /// The id of what was asked for, or taken back.
    request: Option<i64>,
    /// The term that ends by it.
    term: Option<i64>,
    said: String,
}

impl Pulled {
    fn asked(answer: LeverAnswer, said: String) -> Pulled {
        Pulled {
            request: answer.request,
            term: answer.term,
            said,
        }
    }
}

/// An election as it was when a lever was pulled.
struct Election<'a> {
    operator: &'a Operator,
    name: &'a str,
    /// Why the lever is pulled.
    reason: Option<&'a str>,
    before: ElectionStatus,
    /// Who leads when the present term ends.
    next: String,
}

impl Election<'_> {
    async fn read<'a>(
        operator: &'a Operator,
        name: &'a str,
        reason: Option<&'a str>,
    ) -> Result<Election<'a>, Failure> {
        let before = operator
            .status_of(name)
            .await?
            .ok_or_else(|| Failure::no_election(name))?;
        let candidates = operator.candidates(name).await?;
        let others = candidates
            .iter()
            .any(|other| !other.excluded && Some(&other.address) != before.address.as_ref());
        Ok(Election {
            operator,
            name,
            reason,
            next: next(before.successor.as_deref(), others),
            before,
        })
    }

    /// Where it is led, in brackets.
    fn at(&self) -> String {
        let address = self.before.address.as_ref();
        address.map_or(String::new(), |address| format!(" ({address})"))
    }

    async fn step_down(&self) -> Result<Pulled, Failure> {
        let asked = self.operator.step_down(self.name, self.reason).await?;
        let said = match asked.term {
            Some(term) => format!(
                "Term {term} of {}{} is asked to end: its work gets the grace to stop. {}",
                self.name,
                self.at(),
                self.next
            ),
            None => format!("Nobody leads {}: nothing was asked for.", self.name),
        };
        Ok(Pulled::asked(asked, said))
    }

    async fn transfer(&self, to: &str) -> Result<Pulled, Failure> {
        let election = self.name;
        let asked = self.operator.transfer(election, to, self.reason).await?;
        let said = match asked.term {
            Some(term) => format!(
                "Term {term} of {election}{} is asked to end, and the next is for {to} alone. It is given up \
                 after ten leases, or when {to} is gone: then anybody leads.",
                self.at()
            ),
            None if self.before.address.as_deref() == Some(to) => {
                format!("{to} leads {election} already: nothing was asked for.")
            }
            None => format!("Nobody leads {election} now: the next term is for {to} alone."),
        };
        Ok(Pulled::asked(asked, said))
    }

    async fn suspend(&self) -> Result<Pulled, Failure> {
        let election = self.name;
        let asked = self.operator.suspend(election, self.reason).await?;
        let ends = match asked.term {
            Some(term) => format!(" Term {term}{} is asked to end.", self.at()),
            None => String::new(),
        };
        let said = format!(
            "{election} is suspended.{ends} Nobody leads it until pg-leader resume {election}."
        );
        Ok(Pulled::asked(asked, said))
    }

    async fn resume(&self) -> Result<Pulled, Failure> {
        let election = self.name;
        let request = self.operator.resume(election, self.reason).await?;
        let said = if request.is_some() {
            format!("{election} is resumed. A candidate leads as soon as it hears of it.")
        } else {
            format!("{election} was not suspended: nothing has changed.")
        };
        Ok(Pulled {
            request,
            term: None,
            said,
        })
    }

    async fn exclude(&self, address: &str) -> Result<Pulled, Failure> {
        let election = self.name;
        let asked = self
            .operator
            .exclude(election, address, self.reason)
            .await?;
        let ends = match asked.term {
            Some(term) => format!("it leads term {term}, which is asked to end. {}", self.next),
            None => "it does not lead now.".to_owned(),
        };
        let said = format!(
            "{address} is excluded from {election}: {ends} It stays out until pg-leader include {election} \
             --address {address}."
        );
        Ok(Pulled::asked(asked, said))
    }

    async fn include(&self, address: &str) -> Result<Pulled, Failure> {
        let election = self.name;
        let request = self
            .operator
            .include(election, address, self.reason)
            .await?;
        let said = if request.is_some() {
            format!("{address} may lead {election} again.")
        } else {
            format!("{address} was not excluded from {election}: nothing has changed.")
        };
        Ok(Pulled {
            request,
            term: None,
            said,
        })
    }

    async fn depose(&self) -> Result<Pulled, Failure> {
        let election = self.name;
        let asked = self.operator.depose(election, self.reason).await?;
        let said = match asked.term {
            Some(term) => format!(
                "The session of term {term} of {election}{} is ended. The next term begins once its process \
                 has said that the work has stopped, after its lease at the latest.",
                self.at()
            ),
            None => format!("Nobody leads {election}: nothing was done."),
        };
        Ok(Pulled::asked(asked, said))
    }
}

/// `others`: somebody else may lead.
fn next(successor: Option<&str>, others: bool) -> String {
    match successor {
        Some(successor) => format!("Then {successor} is first in line."),
        None if others => {
            "No candidate is first in line just now: then any of the others leads.".to_owned()
        }
        None => "There is no successor: nobody else is there to lead.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn nobody_else_is_there_only_where_nobody_is() {
        assert!(next(Some("b"), true).contains("b is first"));
        assert!(next(None, true).contains("any of the others"));
        assert!(next(None, false).contains("nobody else"));
    }
}
