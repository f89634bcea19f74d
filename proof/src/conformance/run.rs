//! A run: the same steps on both sides, until they differ.

use std::fmt;

use super::coverage::Coverage;
use super::draw::Draw;
use super::planted::Planted;
use super::pretend::Pretend;
use super::real::Real;
pub use super::real::Server;
use super::side::Side;
use super::step::{Outcome, Step};

/// So many steps are a run.
const STEPS: usize = 150;

/// What was done, and what came of it on a real server.
#[derive(Debug)]
pub struct Trace {
    seed: u64,
    steps: Vec<(Step, Outcome)>,
}

/// The first step that came out differently.
#[derive(Debug)]
pub struct Difference {
    seed: u64,
    number: usize,
    /// The last of what was done before, and the step.
    steps: Vec<String>,
    pretended: String,
    real: String,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// What was done.
    pub trace: Trace,
    /// What was drawn.
    pub coverage: Coverage,
    /// Whether the two differ.
    pub difference: Option<Difference>,
}

/// Draw a run from a seed, and do it on both sides.
///
/// # Errors
///
/// Where the real server cannot be worked with.
pub fn run(server: &mut Server, seed: u64) -> crate::Result<Run> {
    let mut draw = Draw::new(seed);
    let mut pretend = Pretend::new(None);
    let mut real = Real::new(server, seed)?;
    let mut coverage = Coverage::default();
    let mut trace = Trace {
        seed,
        steps: vec![],
    };
    let mut difference = None;
    for _ in 0..STEPS {
        let step = draw.next(&pretend);
        let pretended = pretend.step(&step)?;
        let told = real.step(&step)?;
        coverage.step(&step, &told);
        draw.learn(&step, &told);
        trace.steps.push((step, told));
        difference = trace.compare(&pretended);
        let forgets = pretend.names.forgets_by_chance() || real.names.forgets_by_chance();
        if difference.is_some() || forgets {
            break;
        }
    }
    real.end()?;
    Ok(Run {
        trace,
        coverage,
        difference,
    })
}

/// Where a pretend server with a flaw differs from what the real one answered.
#[must_use]
pub fn found(trace: &Trace, planted: Planted) -> Option<Difference> {
    let mut pretend = Pretend::new(Some(planted.0));
    let mut done = Trace {
        seed: trace.seed,
        steps: vec![],
    };
    for (step, told) in &trace.steps {
        let pretended = pretend.step(step);
        done.steps.push((step.clone(), told.clone()));
        let difference = match pretended {
            Ok(pretended) => done.compare(&pretended),
            Err(why) => Some(done.differs(why.to_string(), format!("{told:?}"))),
        };
        if difference.is_some() {
            return difference;
        }
    }
    None
}

impl Trace {
    /// The last step, as the pretend server took it.
    fn compare(&self, pretended: &Outcome) -> Option<Difference> {
        let (_, told) = self.steps.last()?;
        let differs = told != pretended;
        differs.then(|| self.differs(format!("{pretended:?}"), format!("{told:?}")))
    }

    fn differs(&self, pretended: String, real: String) -> Difference {
        let last = self.steps.len().saturating_sub(40);
        let steps = self.steps.iter().enumerate().skip(last);
        Difference {
            seed: self.seed,
            number: self.steps.len(),
            steps: steps
                .map(|(number, (step, told))| {
                    format!("{number:>3} {step:?}\n      {:?}", told.said)
                })
                .collect(),
            pretended,
            real,
        }
    }
}

impl Difference {
    /// Where it was found.
    #[must_use]
    pub fn place(&self) -> String {
        let what = self.steps.last().map_or("", |step| step.trim_start());
        let what = what.lines().next().unwrap_or_default();
        format!("seed {}, step {}: {what}", self.seed, self.number)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        writeln!(f, "seed {}, step {}:", self.seed, self.number)?;
        writeln!(f, "  PRETENDED {}", self.pretended)?;
        writeln!(f, "  REAL      {}", self.real)?;
        write!(
            f,
            "  again with: cargo conformance --seed {} --runs 1",
            self.seed
        )
    }
}
