//! What goes to standard output: tables for people, lines of JSON for programs.
//!
//! Names, addresses and reasons are anybody's text. For people all of it goes through [`shown`], so that it begins no
//! line and steers no terminal; JSON has it as it is. Nothing else in this program writes there.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use comfy_table::{Color, presets};
use console::Style;
use pg_leader::shown;
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

/// A line for people.
#[derive(Default)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new() -> Line {
        Line::default()
    }

    pub(crate) fn text(self, text: impl Display) -> Line {
        Line(self.0 + &shown(&text.to_string()))
    }

    pub(crate) fn styled(self, style: &Style, text: impl Display) -> Line {
        let text = text.to_string();
        Line(format!("{}{}", self.0, style.apply_to(shown(&text))))
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        write(&self.0)
    }
}

/// A line for people.
pub(crate) fn print(line: impl Display) -> Result<(), Failure> {
    Line::new().text(line).print()
}

/// Text of this program's own, of many lines.
pub(crate) fn print_text(text: impl Display) -> Result<(), Failure> {
    write(text)
}

/// An object a line.
pub(crate) fn print_json(object: &Value) -> Result<(), Failure> {
    write(as_ascii_where_it_misleads(&object.to_string()))
}

/// The same JSON: what would steer a terminal can only be inside of strings, and there it is escaped.
fn as_ascii_where_it_misleads(json: &str) -> String {
    let mut all = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if shown(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() {
            all.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            let _ = write!(all, "\\u{unit:04x}");
        }
    }
    all
}

fn write(line: impl Display) -> Result<(), Failure> {
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
    lines.into_iter().try_for_each(|line| print_json(&line))
}

/// A cell of a [`Table`].
pub(crate) struct Cell(comfy_table::Cell);

impl Cell {
    pub(crate) fn new(text: impl Display) -> Cell {
        Cell(comfy_table::Cell::new(shown(&text.to_string())))
    }

    pub(crate) fn fg(self, colour: Color) -> Cell {
        Cell(self.0.fg(colour))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(text)
    }
}

/// A line is a row, whatever is in it.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn add_row(&mut self, cells: Vec<impl Into<Cell>>) {
        self.0.add_row(cells.into_iter().map(|cell| cell.into().0));
    }
}

/// A table without lines, never wrapped: a line is a row, also for grep. Colours only where a terminal shows them, and NO_COLOR is not set.
pub(crate) fn table(head: &[&str]) -> Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    if !console::colors_enabled() {
        table.force_no_tty();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Table(table)
}

/// Without the spaces that a table has behind its last column.
pub(crate) fn print_table(table: &Table) -> Result<(), Failure> {
    let mut lines = table.0.lines();
    lines.try_for_each(|line| write(line.trim_end()))
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
    fn json_is_the_same_and_steers_no_terminal() {
        let name =
            "a\n\u{1b}[2J\u{9b}2J\u{202e}\u{e0041}\u{7f}\u{2028}é\u{1f469}\u{200d}\u{1f52c}\\";
        let object = serde_json::json!({ "election": name, name: 7 });
        let told = as_ascii_where_it_misleads(&object.to_string());
        assert_eq!(shown(&told), told);
        assert!(told.contains('é'), "{told}");
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), object);
    }

    #[test]
    fn a_row_is_a_line_whatever_is_in_it() {
        let forged = "billing\n\nother  leading\r\u{1b}[31mred\u{2028}";
        let mut table = table(&["ELECTION", "STATE"]);
        table.add_row(vec![Cell::new(forged), Cell::new("vacant").fg(Color::Red)]);
        table.add_row(vec![forged.to_owned(), "leading".to_owned()]);
        let lines: Vec<String> = table.0.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for line in &lines[1..] {
            assert!(line.contains(r"billing\n\nother"), "{line}");
        }
        let line = Line::new()
            .styled(&Style::new().bold(), forged)
            .text(forged);
        assert_eq!(line.0.lines().count(), 1);
        assert!(!line.0.contains("[31mred\u{2028}") && !line.0.contains("\u{1b}[31m"));
    }

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
