//! What goes to standard output: tables for people, lines of JSON for programs.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::exit::Failure;

/// What every subcommand that shows something takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Form {
    /// Print JSON, an object a line, for programs. Its keys stay; more may be added.
    #[arg(long)]
    pub(crate) json: bool,
}

/// As after SIGPIPE.
const PIPE_CLOSED: i32 = 141;

pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // Whoever read has seen enough.
            crate::log::flush();
            std::process::exit(PIPE_CLOSED)
        }
        Err(error) => Err(Failure::system("cannot write to standard output", &error)),
        Ok(()) => Ok(()),
    }
}

pub(crate) fn print_all(lines: impl IntoIterator<Item = Value>) -> Result<(), Failure> {
    lines.into_iter().try_for_each(print)
}

/// A table without lines, never wrapped: a line is a row, also for grep. Colours only where a terminal shows them, and NO_COLOR is not set.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    if !console::colors_enabled() {
        table.force_no_tty();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Without the spaces that a table has behind its last column.
pub(crate) fn print_table(table: &Table) -> Result<(), Failure> {
    table.lines().try_for_each(|line| print(line.trim_end()))
}

/// `3m 20s`
pub(crate) fn duration(duration: Duration) -> String {
    let rounded = if duration < Duration::from_secs(10) {
        Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(duration.as_secs())
    };
    humantime::format_duration(rounded).to_string()
}

/// How long ago, in the two largest units.
pub(crate) fn ago(then: SystemTime, now: SystemTime) -> String {
    let passed = now.duration_since(then).unwrap_or_default().as_secs();
    let text = humantime::format_duration(Duration::from_secs(passed)).to_string();
    let largest: Vec<&str> = text.split(' ').take(2).collect();
    format!("{} ago", largest.join(" "))
}

/// RFC 3339, in UTC, to the millisecond.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

pub(crate) fn or_dash(text: Option<impl Display>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(ago(now - Duration::from_secs(200), now), "3m 20s ago");
        assert_eq!(ago(now - Duration::from_secs(90_061), now), "1day 1h ago");
        assert_eq!(ago(now + Duration::from_secs(1), now), "0s ago");
        assert_eq!(duration(Duration::from_micros(1_500_400)), "1s 500ms");
        assert_eq!(duration(Duration::from_millis(12_345)), "12s");
        assert_eq!(time(now), "1970-01-12T13:46:40.000Z");
    }
}
