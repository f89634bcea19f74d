//! `pg-leader doctor`: whether a candidate could work here.

use std::io::Write;
use std::process::ExitCode;

use pg_leader::doctor::{Finding, Severity, examine_with};
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::exit::{DOCTOR_WARNS, Failure, UNUSABLE};
use crate::output::{Form, Line, print, print_all};

/// Connect as a candidate would, and say what is wrong and what to do about it.
///
/// Give it the connection string and the role of your processes, and run it on their machine. Takes about two
/// seconds, opens four sessions, writes nothing. Two of the sessions are ended by force, and the server counts them: a
/// leader that crashes in that second is followed after a lease more than need be. Behind pgpool-II, which would
/// detach the server, none is ended. A check has ten seconds, all have a minute; what takes long is named on standard
/// error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It looks at: the connection (direct, or a pooler or proxy between; TLS), the server (version, primary, standbys,
settings of the role), the schema and the privileges, whether a hung leader can be seen and ended, whether this
engine counts the ends of sessions (proved on the spot), who holds a lock of an election and takes no part, the queue
of notifications, free connections, the lock table and how many elections it has room for, round trips against the
lease, this machine's punctuality and clock.

Examples:
  pg-leader doctor --lease 500ms
  pg-leader doctor --json | jq 'select(.severity != \"fine\")'

Exit status:
  0  fine, notes at most
  7  warnings: it works, and less well than it could
  4  problems: no candidate can work so, or the guarantees do not hold

JSON: check, severity (fine, note, warning, problem), what, remedy.")]
pub(crate) struct Arguments {
    /// The lease that your processes use.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    lease: humantime::Duration,

    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub(crate) async fn execute(self, connection: &Connection) -> Result<ExitCode, Failure> {
        let config = connection.config("doctor")?.lease(self.lease.into());
        let waits_for = |what: &str| {
            // Nobody may read it.
            let _ = writeln!(std::io::stderr(), "pg-leader: waiting for {what}");
        };
        let findings = examine_with(config, waits_for).await?;
        if self.form.json {
            print_all(findings.iter().map(as_json))?;
        } else {
            show(&findings)?;
        }
        Ok(
            match findings.iter().map(|finding| finding.severity).max() {
                Some(Severity::Problem) => ExitCode::from(UNUSABLE),
                Some(Severity::Warning) => ExitCode::from(DOCTOR_WARNS),
                _ => ExitCode::SUCCESS,
            },
        )
    }
}

fn show(findings: &[Finding]) -> Result<(), Failure> {
    for finding in findings {
        let style = match finding.severity {
            Severity::Problem => console::Style::new().red().bold(),
            Severity::Warning => console::Style::new().yellow(),
            Severity::Note => console::Style::new().cyan(),
            _ => console::Style::new().green(),
        };
        Line::new()
            .styled(&style, format!("{:<8}", finding.severity))
            .text(format!(" {:<13} {}", finding.check, finding.what))
            .print()?;
        if let Some(remedy) = &finding.remedy {
            print(format_args!("{:<22} -> {remedy}", ""))?;
        }
    }
    let count = |severity| {
        let all = findings.iter();
        all.filter(|finding| finding.severity == severity).count()
    };
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    print(match (problems, warnings) {
        (0, 0) => "A candidate can work here.".to_owned(),
        (0, warnings) => format!("A candidate can work here; {warnings} warning(s)."),
        (problems, _) => {
            format!("A candidate cannot work here as it should; {problems} problem(s).")
        }
    })
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "severity": finding.severity.to_string(),
        "what": finding.what,
        "remedy": finding.remedy,
    })
}
