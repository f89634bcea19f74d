//! A dot a sample, on a logarithmic axis; a row a kind; the lease marked.

use plotters::prelude::*;
use plotters::style::Color;

use super::theme::{Beside, Theme, duration, text};
use crate::Result;

const WIDTH: u32 = 920;
const ROW: u32 = 34;
const HEAD: u32 = 80;
const FOOT: u32 = 34;
/// For the names at the left, and for the figures at the right.
const NAMES: u32 = 212;
const FIGURES: u32 = 190;

pub(super) struct Row {
    pub(super) name: String,
    /// In order.
    pub(super) milliseconds: Vec<f64>,
}

impl Row {
    pub(super) fn median(&self) -> f64 {
        self.milliseconds
            .get((self.milliseconds.len().max(1) - 1) / 2)
            .copied()
            .unwrap_or(0.0)
    }

    /// Side by side in a fixed disorder, so that equal ones are seen.
    fn dots<'a>(
        &'a self,
        from: f64,
        middle: f64,
        theme: &'a Theme,
    ) -> impl Iterator<Item = Circle<(f64, f64), i32>> + 'a {
        let dots = self.milliseconds.iter().enumerate();
        dots.map(move |(number, at)| {
            let golden = (number as f64 * 0.618_033_988_75).fract() - 0.5;
            let place = (at.max(from), middle + golden * 0.5);
            Circle::new(place, 2, theme.term.mix(0.7).filled())
        })
    }

    /// Its name at the left, its figures at the right.
    fn labels(&self, y: i32, theme: &Theme) -> [Text<'static, (i32, i32), String>; 2] {
        let (median, count) = (duration(self.median()), self.milliseconds.len());
        let figures = format!("median {median} of {count}");
        let (left, right) = (NAMES as i32 - 12, (WIDTH - FIGURES) as i32 + 14);
        let name = text(13, theme.ink, Beside::Right);
        let quiet = text(13, theme.quiet, Beside::Left);
        [
            Text::new(self.name.clone(), (left, y), name),
            Text::new(figures, (right, y), quiet),
        ]
    }
}

pub(super) struct Distribution {
    pub(super) title: String,
    /// Where it was measured.
    pub(super) note: String,
    pub(super) rows: Vec<Row>,
    pub(super) lease_ms: f64,
}

impl Distribution {
    pub(super) fn draw(&self, theme: &Theme) -> Result<String> {
        let count = self.rows.len() as u32;
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEAD + count * ROW + FOOT))
            .into_drawing_area();
        root.fill(&theme.page)?;
        root.draw(&Text::new(
            self.title.as_str(),
            (16, 20),
            text(16, theme.ink, Beside::Left),
        ))?;
        let note = text(12, theme.quiet, Beside::Left);
        root.draw(&Text::new(self.note.as_str(), (16, 40), note))?;
        let most = self
            .rows
            .iter()
            .filter_map(|row| row.milliseconds.last())
            .fold(1.0, |a: f64, b| a.max(*b));
        let (from, to) = (1.0_f64, 10_f64.powf((most * 1.05).log10().max(3.2)));
        let mut chart = ChartBuilder::on(&root)
            .margin_top(HEAD)
            .margin_left(NAMES)
            .margin_right(FIGURES)
            .x_label_area_size(FOOT)
            .build_cartesian_2d((from..to).log_scale(), 0.0..f64::from(count))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(5)
            .x_label_formatter(&|x| duration_of_axis(*x))
            .x_label_style(text(13, theme.quiet, Beside::Middle))
            .axis_style(theme.line)
            .bold_line_style(theme.line)
            .light_line_style(theme.page)
            .draw()?;
        let lease = [(self.lease_ms, 0.0), (self.lease_ms, f64::from(count))];
        chart.draw_series(LineSeries::new(lease, theme.gap.stroke_width(1)))?;
        let (lease_at, _) = chart.backend_coord(&(self.lease_ms, 0.0));
        let label = format!("lease {}", duration_of_axis(self.lease_ms));
        root.draw(&Text::new(
            label,
            (lease_at, HEAD as i32 - 10),
            text(13, theme.gap, Beside::Middle),
        ))?;
        for (index, row) in self.rows.iter().enumerate() {
            let middle = f64::from(count) - index as f64 - 0.5;
            chart.draw_series(row.dots(from, middle, theme))?;
            let median = [
                (row.median().max(from), middle - 0.34),
                (row.median().max(from), middle + 0.34),
            ];
            chart.draw_series(LineSeries::new(median, theme.ink.stroke_width(2)))?;
            let y = (HEAD + index as u32 * ROW + ROW / 2) as i32;
            for label in row.labels(y, theme) {
                root.draw(&label)?;
            }
        }
        root.present()?;
        drop(chart);
        drop(root);
        Ok(svg)
    }
}

fn duration_of_axis(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms >= 1000.0 => format!("{} s", ms / 1000.0),
        ms => format!("{ms} ms"),
    }
}
