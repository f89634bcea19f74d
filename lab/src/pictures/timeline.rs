//! Who led when, and what befell whom: a lane a process.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::Color;

use super::theme::{Beside, Theme, duration, text};
use crate::Result;
use crate::chaos;
use crate::chaos::judge::history::Kind;
use crate::chaos::judge::{Fault, History, faults, gaps, spans};

const WIDTH: i32 = 1000;
const LEFT: i32 = 104;
const RIGHT: i32 = WIDTH - 16;
const HEAD: i32 = 58;
const LANE: i32 = 34;
/// A term's bar within its lane.
const BAR: i32 = 16;
/// A character of the font that is used here, at most.
const CHARACTER: i32 = 7;

/// What is shown.
pub(super) struct Window<'a> {
    pub(super) election: &'a str,
    /// In seconds of the run.
    pub(super) from: u64,
    pub(super) seconds: u64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn draw(history: &History, window: &Window<'_>, theme: &Theme) -> Result<String> {
    let from = history.run.began + window.from * 1_000_000_000;
    let to = from + window.seconds * 1_000_000_000;
    if from >= history.run.ended
        || !history
            .run
            .elections
            .iter()
            .any(|name| name == window.election)
    {
        return Err("the run has no such election, or ended before --from".into());
    }
    let picture = Picture { theme, from, to };
    let lanes = chaos::PLACES.len() as i32;
    let nobody = HEAD + (lanes + 1) * LANE;
    let height = nobody + LANE + 66;
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
    root.fill(&theme.page)?;
    picture.frame(&root, history, window, nobody)?;
    let (spans, faults) = (spans(history), faults(history));
    for gap in gaps(history, &spans, &faults) {
        if gap.election == window.election && picture.shows(gap.from, gap.to) {
            picture.gap(&root, gap.from, gap.to, nobody)?;
        }
    }
    for span in &spans {
        if span.election == window.election && picture.shows(span.first, span.last) {
            picture.term(
                &root,
                span.term,
                lane_of(&span.process),
                span.first,
                span.last,
            )?;
        }
    }
    for fault in &faults {
        let elsewhere = fault
            .election
            .as_ref()
            .is_some_and(|name| name != window.election);
        if picture.shows(fault.begin, fault.end) && !elsewhere {
            picture.fault(&root, fault)?;
        }
    }
    picture.legend(&root, height - 22)?;
    root.present()?;
    drop(root);
    Ok(svg)
}

/// The server's lane is the first.
fn lane_of(process: &str) -> i32 {
    process
        .split('-')
        .next()
        .and_then(|place| place.parse().ok())
        .unwrap_or(0)
}

struct Picture<'a> {
    theme: &'a Theme,
    from: u64,
    to: u64,
}

impl Picture<'_> {
    fn shows(&self, from: u64, to: u64) -> bool {
        to >= self.from && from <= self.to
    }

    fn x(&self, at: u64) -> i32 {
        let share =
            (at.clamp(self.from, self.to) - self.from) as f64 / (self.to - self.from) as f64;
        LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
    }

    fn frame(
        &self,
        root: &Area<'_>,
        history: &History,
        window: &Window<'_>,
        nobody: i32,
    ) -> Result<()> {
        let theme = self.theme;
        let title = format!(
            "{} seconds of chaos, election {}, lease {}",
            window.seconds,
            window.election,
            duration(history.run.lease_ms as f64)
        );
        root.draw(&Text::new(
            title,
            (16, 20),
            text(16, theme.ink, Beside::Left),
        ))?;
        let note = text(12, theme.quiet, Beside::Left);
        root.draw(&Text::new(super::note(&history.run), (16, 40), note))?;
        let names = [&["server"], &chaos::PLACES[..], &["no leader"]].concat();
        for (lane, name) in names.iter().enumerate() {
            let y = HEAD + lane as i32 * LANE;
            let line = [(LEFT, y + LANE), (RIGHT, y + LANE)];
            root.draw(&PathElement::new(line, theme.line))?;
            root.draw(&Text::new(
                *name,
                (LEFT - 10, y + LANE / 2),
                text(13, theme.ink, Beside::Right),
            ))?;
        }
        root.draw(&PathElement::new([(LEFT, HEAD), (RIGHT, HEAD)], theme.line))?;
        let step = (window.seconds / 6).max(1);
        for second in (0..=window.seconds).step_by(step as usize) {
            let x = self.x(self.from + second * 1_000_000_000);
            let bottom = nobody + LANE;
            root.draw(&PathElement::new([(x, HEAD), (x, bottom + 5)], theme.line))?;
            let beside = if second == window.seconds {
                Beside::Right
            } else {
                Beside::Middle
            };
            let label = format!("{} s", window.from + second);
            root.draw(&Text::new(
                label,
                (x, bottom + 15),
                text(12, theme.quiet, beside),
            ))?;
        }
        Ok(())
    }

    /// From the first lane to the last, so that it is seen how everybody stood.
    fn gap(&self, root: &Area<'_>, from: u64, to: u64, nobody: i32) -> Result<()> {
        let theme = self.theme;
        let (left, right) = (self.x(from), self.x(to).max(self.x(from) + 1));
        root.draw(&Rectangle::new(
            [(left, HEAD), (right, nobody)],
            theme.gap.mix(0.10).filled(),
        ))?;
        let top = nobody + (LANE - BAR) / 2;
        root.draw(&Rectangle::new(
            [(left, top), (right, top + BAR)],
            theme.gap.filled(),
        ))?;
        let label = duration((to - from) as f64 / 1e6);
        if right - left >= CHARACTER * label.len() as i32 + 4 {
            let middle = ((left + right) / 2, nobody + LANE / 2);
            root.draw(&Text::new(
                label,
                middle,
                text(12, theme.page, Beside::Middle),
            ))?;
        }
        Ok(())
    }

    fn term(&self, root: &Area<'_>, term: i64, lane: i32, from: u64, to: u64) -> Result<()> {
        let theme = self.theme;
        let top = HEAD + lane * LANE + 4;
        let (left, right) = (self.x(from), self.x(to).max(self.x(from) + 1));
        root.draw(&Rectangle::new(
            [(left, top), (right, top + BAR)],
            theme.term.filled(),
        ))?;
        let label = term.to_string();
        if right - left >= CHARACTER * label.len() as i32 + 6 {
            let middle = ((left + right) / 2, top + BAR / 2);
            root.draw(&Text::new(
                label,
                middle,
                text(12, theme.on_term, Beside::Middle),
            ))?;
        }
        Ok(())
    }

    fn fault(&self, root: &Area<'_>, fault: &Fault) -> Result<()> {
        let Some((shape, lasts)) = shape_of(fault.kind) else {
            return Ok(());
        };
        let lane = fault.process.as_deref().map_or(0, lane_of);
        let y = HEAD + lane * LANE + 27;
        if lasts {
            let line = [(self.x(fault.begin), y), (self.x(fault.end), y)];
            root.draw(&PathElement::new(line, self.colour(shape).stroke_width(3)))?;
        }
        if fault.begin >= self.from && fault.begin <= self.to {
            self.mark(root, shape, (self.x(fault.begin), y))?;
        }
        Ok(())
    }

    fn colour(&self, shape: Shape) -> RGBColor {
        match shape {
            Shape::Cross | Shape::Square => self.theme.fault,
            Shape::Diamond => self.theme.network,
            Shape::Triangle => self.theme.gap,
            Shape::Ring => self.theme.order,
        }
    }

    fn mark(&self, root: &Area<'_>, shape: Shape, (x, y): (i32, i32)) -> Result<()> {
        let colour = self.colour(shape);
        match shape {
            Shape::Cross => root.draw(&Cross::new((x, y), 4, colour.stroke_width(2)))?,
            Shape::Square => {
                root.draw(&Rectangle::new(
                    [(x - 4, y - 4), (x + 4, y + 4)],
                    colour.filled(),
                ))?;
            }
            Shape::Diamond => {
                let corners = vec![(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)];
                root.draw(&Polygon::new(corners, colour.filled()))?;
            }
            Shape::Triangle => root.draw(&TriangleMarker::new((x, y + 1), 6, colour.filled()))?,
            Shape::Ring => root.draw(&Circle::new((x, y), 4, colour.stroke_width(2)))?,
        }
        Ok(())
    }

    fn legend(&self, root: &Area<'_>, y: i32) -> Result<()> {
        let entries = [
            (Shape::Cross, "killed"),
            (Shape::Square, "stopped, blocked"),
            (Shape::Diamond, "network cut, slow, reset"),
            (Shape::Triangle, "session ended, server away"),
            (Shape::Ring, "gives up in order"),
        ];
        let mut x = LEFT;
        for (shape, name) in entries {
            self.mark(root, shape, (x, y))?;
            root.draw(&Text::new(
                name,
                (x + 12, y),
                text(12, self.theme.ink, Beside::Left),
            ))?;
            x += name.len() as i32 * CHARACTER + 36;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Cross,
    Square,
    Diamond,
    Triangle,
    Ring,
}

/// How a fault is shown, and whether it is seen to last.
fn shape_of(kind: Kind) -> Option<(Shape, bool)> {
    Some(match kind {
        Kind::KilledProcess => (Shape::Cross, false),
        Kind::StoppedProcess
        | Kind::KilledWhileStopped
        | Kind::BlockedRuntime
        | Kind::StoppedDriver => (Shape::Square, true),
        Kind::CutBoth
        | Kind::CutToServer
        | Kind::CutToClient
        | Kind::KilledWhileCut
        | Kind::SlowNetwork => (Shape::Diamond, true),
        Kind::ResetConnections => (Shape::Diamond, false),
        Kind::KilledSession | Kind::Depose | Kind::KilledRelay | Kind::DriverPanic => {
            (Shape::Triangle, false)
        }
        Kind::ServerCrash
        | Kind::BackendCrash
        | Kind::ServerRestart
        | Kind::Promotion
        | Kind::SecondPromotion
        | Kind::DiscardedPromotion
        | Kind::Discard => (Shape::Triangle, true),
        Kind::StepDown
        | Kind::Transfer
        | Kind::Suspend
        | Kind::Exclude
        | Kind::Priority
        | Kind::Resign
        | Kind::FailedWork
        | Kind::Leave
        | Kind::Shutdown => (Shape::Ring, false),
        Kind::FullStderr | Kind::ClosedStderr | Kind::BusyProcessors => return None,
    })
}
