//! The live view: a scene, and the lines that show it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use console::{Alignment, Style, style};
use pg_leader_lab::contest::Condition;

use crate::event::{Event, Outcome};
use crate::status::Status;
use crate::{LEASE, report};

/// The lines of a frame, at most.
pub(crate) const HEIGHT: usize = 22;

/// So many things that happened are shown.
const MEMORY: usize = 5;

pub(crate) struct Scene {
    began: Instant,
    pub(crate) server: String,
    pub(crate) election: String,
    pub(crate) candidates: Vec<(String, u32, Condition)>,
    pub(crate) status: Option<Status>,
    happened: VecDeque<(Duration, String)>,
    pub(crate) running: Option<Event>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) is_over: bool,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        Scene {
            began: Instant::now(),
            server: String::new(),
            election: String::new(),
            candidates: vec![],
            status: None,
            happened: VecDeque::new(),
            running: None,
            outcomes: vec![],
            is_over: false,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn happened(&mut self, what: String) {
        let elapsed = self.elapsed();
        self.happened.push_back((elapsed, what));
        if self.happened.len() > MEMORY {
            self.happened.pop_front();
        }
    }

    /// What a candidate is, in a word.
    fn role(&self, address: &str, condition: Condition) -> (&str, Style) {
        let is = |named: &Option<String>| named.as_deref() == Some(address);
        match (condition, &self.status) {
            (Condition::Dead, _) => ("dead", Style::new().red()),
            (Condition::Stopped, _) => ("stopped", Style::new().yellow()),
            (Condition::Runs, None) => ("no server", Style::new().dim()),
            (Condition::Runs, Some(status)) if is(&status.address) => {
                (&status.state, Style::new().green().bold())
            }
            (Condition::Runs, Some(status)) if is(&status.successor) => {
                ("successor", Style::new().cyan())
            }
            (Condition::Runs, Some(_)) => ("following", Style::new()),
        }
    }
}

/// The whole view.
pub(crate) fn frame(scene: &Scene) -> Vec<String> {
    let mut lines = vec![header(scene), String::new(), election(scene), String::new()];
    lines.extend(candidates(scene));
    lines.push(String::new());
    lines.push(format!("  {}", style("just happened").dim()));
    for (when, what) in &scene.happened {
        let when = format!("{:5.1} s", when.as_secs_f64());
        lines.push(format!("  {}  {what}", style(when).dim()));
    }
    if !scene.is_over {
        lines.push(String::new());
        lines.extend(report::lines(&scene.outcomes, scene.running));
    }
    lines
}

fn header(scene: &Scene) -> String {
    let about = format!(
        "{}   lease {LEASE:?}   {:.1} s",
        scene.server,
        scene.elapsed().as_secs_f64()
    );
    format!(
        "{}   {}",
        style("pg-leader demo").bold(),
        style(about).dim()
    )
}

fn election(scene: &Scene) -> String {
    let Some(status) = &scene.status else {
        return match scene.server.is_empty() {
            true => "  starting".to_owned(),
            false => format!("  election {}   the server does not answer", scene.election),
        };
    };
    let state = match &status.waiting_for {
        Some(waits) => format!("{}, waiting for {waits}", status.state),
        None => status.state.clone(),
    };
    format!(
        "  election {}   term {}   {}   {}   {:.1} s",
        scene.election,
        style(status.term).bold(),
        state,
        style(status.address.as_deref().unwrap_or("nobody")).bold(),
        status.since.as_secs_f64()
    )
}

fn candidates(scene: &Scene) -> Vec<String> {
    let mut rows = vec![["address", "process", "role"].map(ToOwned::to_owned)];
    let mut styles = vec![Style::new().dim()];
    for (address, pid, condition) in &scene.candidates {
        let (role, style) = scene.role(address, *condition);
        rows.push([address.clone(), pid.to_string(), role.to_owned()]);
        styles.push(style);
    }
    report::columns(&rows, &styles, [Alignment::Left; 3])
}
