//! Pictures of what chaos and the benchmarks have measured, as SVG, each for a light and for a dark page.

mod distribution;
mod theme;
mod timeline;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Deserialize;

use crate::Result;
use crate::chaos::judge::history::Run;
use crate::chaos::judge::{History, Report};
use distribution::{Distribution, Row};
use theme::{DARK, LIGHT, Theme};
use timeline::Window;

/// Draw what was measured: docs/*.svg, each for a light and for a dark page.
///
/// timeline   who led in some seconds of a chaos, and what befell whom
/// gaps       how long nobody led in that chaos, by what had happened
/// failover   how long nobody led in `cargo bench -p pg-leader-lab --bench failover`, by the way in which a term ended
#[derive(Debug, Parser)]
#[command(
    name = "cargo pictures",
    bin_name = "cargo pictures",
    verbatim_doc_comment,
    after_help = "EXAMPLES\n  \
        cargo pictures --chaos target/chaos/7 --from 60   of a chaos, from its second 60 on\n  \
        cargo pictures --samples target/failover.jsonl    of a benchmark"
)]
struct Arguments {
    /// The directory of a chaos: timeline and gaps are drawn.
    #[arg(long, value_name = "DIR", required_unless_present = "samples")]
    chaos: Option<PathBuf>,

    /// Which of its elections the timeline shows.
    #[arg(long, default_value = "billing")]
    election: String,

    /// The second of the chaos in which the timeline begins.
    #[arg(long, default_value_t = 0)]
    from: u64,

    /// How many seconds it shows.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,

    /// What `cargo bench -p pg-leader-lab --bench failover` has written: failover is drawn.
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,

    /// Where to write to.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
}

/// The command `cargo pictures`.
pub fn main() -> ExitCode {
    match draw(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo pictures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(arguments: &Arguments) -> Result<()> {
    if let Some(directory) = &arguments.chaos {
        let history = History::read(directory)?;
        let window = Window {
            election: &arguments.election,
            from: arguments.from,
            seconds: arguments.seconds,
        };
        write(&arguments.out, "timeline", |theme| {
            timeline::draw(&history, &window, theme)
        })?;
        let gaps = of_chaos(&Report::of(&history));
        write(&arguments.out, "gaps", |theme| gaps.draw(theme))?;
    }
    if let Some(file) = &arguments.samples {
        let samples = of_samples(file)?;
        write(&arguments.out, "failover", |theme| samples.draw(theme))?;
    }
    Ok(())
}

fn write(directory: &Path, name: &str, draw: impl Fn(&Theme) -> Result<String>) -> Result<()> {
    for theme in [&LIGHT, &DARK] {
        let path = directory.join(format!("{name}-{}.svg", theme.name));
        std::fs::write(&path, draw(theme)?)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn of_chaos(report: &Report) -> Distribution {
    let mut rows: Vec<Row> = report
        .gaps
        .iter()
        .map(|(cause, gaps)| Row {
            name: (*cause).to_owned(),
            milliseconds: gaps.milliseconds.clone(),
        })
        .collect();
    rows.sort_by(|one, other| one.median().total_cmp(&other.median()));
    Distribution {
        title: "Time without a leader under chaos, by what had ended the term".to_owned(),
        note: note(&report.run),
        rows,
        lease_ms: report.run.lease_ms as f64,
    }
}

/// Which run it was.
fn note(run: &Run) -> String {
    format!(
        "{}; cargo chaos --seconds {} --seed {}",
        run.description, run.seconds, run.seed
    )
}

#[derive(Deserialize)]
struct Head {
    description: String,
    lease_ms: f64,
}

#[derive(Deserialize)]
struct Sample {
    ending: String,
    milliseconds: f64,
}

fn of_samples(file: &Path) -> Result<Distribution> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!(
            "{}: {error}; cargo bench -p pg-leader-lab --bench failover writes it",
            file.display()
        )
    })?;
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next().unwrap_or_default())?;
    let mut rows: Vec<Row> = vec![];
    for line in lines {
        let sample: Sample = serde_json::from_str(line)?;
        let name = sample.ending.replace('`', "");
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.milliseconds.push(sample.milliseconds),
            None => rows.push(Row {
                name,
                milliseconds: vec![sample.milliseconds],
            }),
        }
    }
    for row in &mut rows {
        row.milliseconds.sort_by(f64::total_cmp);
    }
    Ok(Distribution {
        title: "Time without a leader, by the way in which a term ends".to_owned(),
        note: head.description,
        rows,
        lease_ms: head.lease_ms,
    })
}
