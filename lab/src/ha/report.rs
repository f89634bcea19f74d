//! The table at the end, and the times drawn.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::event::Event;
use super::path::Path;
use super::trial::Outcome;

/// Of a drawing, in characters; and what one stands for.
const WIDTH: usize = 40;
const CELL: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Report {
    outcomes: BTreeMap<(Path, Event), Vec<Outcome>>,
    of: String,
}

impl Report {
    pub(super) fn describe(&mut self, of: String) {
        self.of = of;
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        let key = (outcome.path, outcome.event);
        self.outcomes.entry(key).or_default().push(outcome);
    }

    pub(super) fn holds(&self) -> bool {
        let mut all = self.outcomes.values().flatten();
        all.all(|outcome| outcome.broken.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}\n", self.of)?;
        writeln!(
            out,
            "| event | path | runs | writable s, median | max | then led s, median | max | overlap ms, max | old fence | open transaction | invariants |"
        )?;
        writeln!(out, "|{}", " --- |".repeat(11))?;
        for ((path, event), runs) in &self.outcomes {
            row(out, *path, *event, runs)?;
        }
        writeln!(
            out,
            "\nfrom writable to led, a mark {CELL:?}: ├ the least, ● the median, ┤ the most"
        )?;
        for ((path, event), runs) in &self.outcomes {
            let name = format!("{} {}", event.name(), path.name());
            writeln!(out, "{name:>28} {}", drawn(&times(runs, |run| run.led)))?;
        }
        Ok(())
    }
}

fn row(out: &mut fmt::Formatter<'_>, path: Path, event: Event, runs: &[Outcome]) -> fmt::Result {
    let writable = times(runs, |run| run.writable);
    let led = times(runs, |run| run.led);
    let overlap = times(runs, |run| run.overlap);
    let broken = runs.iter().filter(|run| !run.broken.is_empty()).count();
    let held = match broken {
        0 => "held".to_owned(),
        some => format!("BROKEN in {some}"),
    };
    writeln!(
        out,
        "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} | {} | {held} |",
        event.name(),
        path.name(),
        runs.len(),
        median(&writable).as_secs_f64(),
        most(&writable).as_secs_f64(),
        median(&led).as_secs_f64(),
        most(&led).as_secs_f64(),
        most(&overlap).as_secs_f64() * 1000.0,
        words(runs, |run| &run.fence),
        words(runs, |run| &run.open),
    )
}

/// In order.
fn times(runs: &[Outcome], of: impl Fn(&Outcome) -> Duration) -> Vec<Duration> {
    let mut times: Vec<Duration> = runs.iter().map(of).collect();
    times.sort();
    times
}

fn median(times: &[Duration]) -> Duration {
    times[times.len().div_ceil(2) - 1]
}

fn most(times: &[Duration]) -> Duration {
    times[times.len() - 1]
}

/// Each that was seen, once.
fn words<'a>(runs: &'a [Outcome], of: impl Fn(&'a Outcome) -> &'a String) -> String {
    let mut words: Vec<&str> = runs.iter().map(|run| &**of(run)).collect();
    words.sort_unstable();
    words.dedup();
    words.join(", ")
}

fn drawn(times: &[Duration]) -> String {
    let cell = |time: Duration| {
        let cells = time.as_millis() / CELL.as_millis();
        usize::try_from(cells).unwrap_or(WIDTH).min(WIDTH - 1)
    };
    let (least, middle, most) = (cell(times[0]), cell(median(times)), cell(most(times)));
    let mark = |index: usize| match index {
        _ if index == middle => '●',
        _ if index == least => '├',
        _ if index == most => '┤',
        _ if index > least && index < most => '─',
        _ => ' ',
    };
    let line: String = (0..=most).map(mark).collect();
    format!("{line} {:.2} s", median(times).as_secs_f64())
}
