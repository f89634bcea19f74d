//! The results, in a table and in sentences.

use std::time::Duration;

use console::{Alignment, Style, measure_text_width, pad_str};

use crate::Error;
use crate::database::Database;
use crate::event::{Event, Outcome, Verdict};

/// The results so far, a line a row and the header first. `running` is the event that is under way.
pub(crate) fn lines(outcomes: &[Outcome], running: Option<Event>) -> Vec<String> {
    let mut rows = vec![];
    for event in Event::ALL {
        let outcome = outcomes.iter().find(|outcome| outcome.event == event);
        let measured = outcome.and_then(|outcome| outcome.measured);
        let (verdict, style) = match outcome.map(|outcome| &outcome.verdict) {
            Some(Verdict::Held) => ("held", Style::new().green()),
            Some(Verdict::Broken(_)) => ("BROKEN", Style::new().red().bold()),
            Some(Verdict::Skipped(_)) => ("skipped", Style::new().dim()),
            None if running == Some(event) => ("now", Style::new().yellow()),
            None => ("", Style::new().dim()),
        };
        let cells = match measured {
            Some(measured) => [
                measured.term.to_string(),
                millis(measured.gap),
                millis(measured.overlap),
            ],
            None => Default::default(),
        };
        let [term, gap, overlap] = cells;
        let row = [
            event.name().to_owned(),
            term,
            gap,
            overlap,
            verdict.to_owned(),
        ];
        rows.push((row, style));
    }
    let header = ["", "new term", "without a leader", "two at work", "verdict"];
    let styles = rows.iter().map(|(_, style)| style.clone());
    let styles: Vec<Style> = std::iter::once(Style::new().dim()).chain(styles).collect();
    let rows = rows.into_iter().map(|(row, _)| row);
    let rows: Vec<_> = std::iter::once(header.map(ToOwned::to_owned))
        .chain(rows)
        .collect();
    let (left, right) = (Alignment::Left, Alignment::Right);
    columns(&rows, &styles, [left, right, right, right, left])
}

/// Rows under one another, a line each, in their styles.
pub(crate) fn columns<const N: usize>(
    rows: &[[String; N]],
    styles: &[Style],
    alignments: [Alignment; N],
) -> Vec<String> {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| measure_text_width(&row[column]));
        widths.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).zip(alignments);
        let cells = cells.map(|((cell, width), alignment)| pad_str(cell, width, alignment, None));
        cells.collect::<Vec<_>>().join("  ")
    };
    let lines = rows.iter().map(line).zip(styles);
    lines
        .map(|(line, style)| format!("  {}", style.apply_to(line.trim_end())))
        .collect()
}

/// The final table.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    format!("\n{}\n", lines(outcomes, None).join("\n"))
}

/// What came of one event.
pub(crate) fn sentence(outcome: &Outcome) -> String {
    let name = outcome.event.name();
    let measured = match outcome.measured {
        Some(measured) => format!(
            "term {}, {} without a leader, {} with two at work; ",
            measured.term,
            millis(measured.gap),
            millis(measured.overlap)
        ),
        None => String::new(),
    };
    let verdict = match &outcome.verdict {
        Verdict::Held => "held".to_owned(),
        Verdict::Broken(what) => format!("BROKEN: {}", what.join(", ")),
        Verdict::Skipped(why) => format!("skipped: {why}"),
    };
    format!("{name}: {measured}{verdict}")
}

/// The last words.
pub(crate) fn summary(outcomes: &[Outcome], all_held: bool) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        match &outcome.verdict {
            Verdict::Held => {}
            Verdict::Broken(what) => {
                text.push_str(&format!("{}: {}\n", outcome.event.name(), what.join(", ")));
            }
            Verdict::Skipped(why) => {
                text.push_str(&format!("{}: skipped, {why}\n", outcome.event.name()));
            }
        }
    }
    text.push_str(match all_held {
        true => "All held: never two at work, every term greater than the last.",
        false => "NOT all held.",
    });
    text
}

/// How to look at it from psql, and at what.
pub(crate) fn worth_trying(database: &Database) -> Result<String, Error> {
    let election = database.election();
    Ok(format!(
        "\nConnect with\n\n  {psql}\n\nand try\n\n  \
         SELECT term, state, address, successor, candidates FROM pgleader.status WHERE name = '{election}';\n\n  \
         SELECT term, address, started_at, ended_at, ending, by FROM pgleader.history WHERE name = '{election}';\n\n  \
         SELECT classid::regclass, objid, pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2\n    \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database());\n\n\
         or let something happen: SELECT pgleader.step_down('{election}');\n\
         Ctrl-C ends it.\n",
        psql = database.psql()?
    ))
}

pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        0.0 => "0 ms".to_owned(),
        _ if millis < 100.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}
