//! What a run has shown: faults by kind, availability, gaps by what caused them, and the verdicts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::history::{History, Kind, Mark, Run};
use super::{Allowed, Gap, Verdict, faults, gaps, judge, spans};
use crate::Result;
use crate::judge::Span;

/// The classes of the histogram: shorter than so many milliseconds, each; the last class has the others.
const CLASSES: [u64; 7] = [10, 30, 100, 300, 1000, 3000, 10_000];

/// Of more elections than that not each is told, but so many that were led least.
const TOLD: usize = 8;
const LEAST: usize = 4;

/// The whole of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The facts about the run.
    pub run: Run,
    /// How many faults there were of each kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// How many could not be done.
    pub missed: usize,
    /// How many terms were at work in all elections.
    pub terms: usize,
    /// How many of them followed a term of another process.
    pub handovers: usize,
    /// Of every election.
    pub availability: BTreeMap<String, Availability>,
    /// By what ended the term before; "nothing" where no fault is to be blamed.
    pub gaps: BTreeMap<&'static str, Gaps>,
    /// Every gap, and what it was allowed.
    pub each: Vec<Each>,
    /// Of every invariant.
    pub verdicts: Vec<Verdict>,
}

/// How much of the time somebody led.
#[derive(Clone, Debug, Serialize)]
pub struct Availability {
    /// Of all the time.
    pub of_all: f64,
    /// Of the time in which the server was there.
    pub with_server: f64,
    /// The longest time without, in seconds.
    pub longest_gap: f64,
    /// How many terms were at work.
    pub terms: usize,
}

/// How long it took until somebody worked again.
#[derive(Clone, Debug, Serialize)]
pub struct Gaps {
    /// In milliseconds, in order.
    pub milliseconds: Vec<f64>,
    /// The longest, as a share of what it was allowed.
    pub worst: f64,
    /// How many were below 10, 30, 100, 300 ms, 1, 3, 10 s; and above.
    pub histogram: [usize; CLASSES.len() + 1],
}

/// One gap.
#[derive(Clone, Debug, Serialize)]
pub struct Each {
    /// The election's name.
    pub election: String,
    /// In seconds since the run began.
    pub from: f64,
    /// How long nobody led, in milliseconds.
    pub lasted: f64,
    /// In milliseconds.
    pub allowed: f64,
    /// Whether it has one cause and nothing else to wait for.
    pub alone: bool,
    /// What was to wait for.
    pub why: Vec<&'static str>,
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} terms at work; led {:.2} % of the time, {:.2} % of that with a server; longest gap {:.2} s",
            self.terms,
            self.of_all * 100.0,
            self.with_server * 100.0,
            self.longest_gap
        )
    }
}

impl Report {
    /// Of a run.
    pub fn of(history: &History) -> Report {
        let (spans, faults) = (spans(history), faults(history));
        let gaps = gaps(history, &spans, &faults);
        let mut by_kind: BTreeMap<&'static str, usize> = BTreeMap::new();
        for fault in &faults {
            *by_kind.entry(fault.kind.name()).or_default() += 1;
        }
        let allowed = Allowed::of(history, &spans, &gaps, &faults);
        let each = gaps.iter().zip(&allowed).map(|(gap, allowed)| Each {
            election: gap.election.clone(),
            from: gap.from.saturating_sub(history.run.began) as f64 / 1e9,
            lasted: gap.length() as f64 / 1e6,
            allowed: allowed.by.saturating_sub(gap.from) as f64 / 1e6,
            alone: allowed.alone,
            why: allowed.why.clone(),
        });
        let away: Vec<(u64, u64)> = faults
            .iter()
            .filter(|fault| fault.kind.hits_server())
            .map(|fault| (fault.begin, fault.end))
            .collect();
        let availability = history.run.elections.iter().map(|election| {
            let of = gaps.iter().filter(|gap| gap.election == *election);
            let terms = spans.iter().filter(|span| span.election == *election);
            let of = Availability::of(&history.run, &of.collect::<Vec<_>>(), &away, terms.count());
            (election.clone(), of)
        });
        let missed = history
            .faults
            .iter()
            .filter(|mark| matches!(mark, Mark::Missed { .. }));
        Report {
            terms: spans.len(),
            handovers: handovers(&spans),
            run: history.run.clone(),
            faults: by_kind,
            missed: missed.count(),
            availability: availability.collect(),
            gaps: by_cause(&history.run, &gaps, &allowed),
            each: each.collect(),
            verdicts: judge(history),
        }
    }

    /// Whether every invariant held.
    pub fn held(&self) -> bool {
        self.verdicts.iter().all(Verdict::held)
    }

    /// Whether something speaks against one.
    pub fn violated(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.count > 0)
    }

    /// Into the directory of the run: `report.txt` and `report.json`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        std::fs::write(directory.join("report.txt"), self.to_string())?;
        std::fs::write(
            directory.join("report.json"),
            serde_json::to_string_pretty(self)?,
        )?;
        Ok(())
    }
}

impl Availability {
    fn of(run: &Run, gaps: &[&Gap], away: &[(u64, u64)], terms: usize) -> Availability {
        let all = run.ended.saturating_sub(run.began) as f64;
        let there = all - covered(run.began, run.ended, away) as f64;
        let without: u64 = gaps.iter().map(|gap| gap.length()).sum();
        let excused: u64 = gaps.iter().map(|gap| covered(gap.from, gap.to, away)).sum();
        let longest = gaps.iter().map(|gap| gap.length()).max().unwrap_or(0);
        Availability {
            of_all: 1.0 - without as f64 / all,
            with_server: 1.0 - (without - excused) as f64 / there,
            longest_gap: longest as f64 / 1e9,
            terms,
        }
    }
}

/// How often the next term of an election was another process's. The spans are in the order in which they began.
fn handovers(spans: &[Span]) -> usize {
    let mut leaders: BTreeMap<&str, &str> = BTreeMap::new();
    let mut handovers = 0;
    for span in spans {
        let before = leaders.insert(&span.election, &span.process);
        handovers += usize::from(before.is_some_and(|before| before != span.process));
    }
    handovers
}

/// All but the first, which ends with the run's first term, and the last, which is cut off by its end.
fn by_cause(run: &Run, gaps: &[Gap], allowed: &[Allowed]) -> BTreeMap<&'static str, Gaps> {
    let mut by_cause: BTreeMap<&'static str, Gaps> = BTreeMap::new();
    let all = gaps.iter().zip(allowed);
    for (gap, allowed) in all.filter(|(gap, _)| gap.after > 0 && gap.to < run.ended) {
        let cause = gap.cause.map_or("nothing", Kind::name);
        let of = by_cause.entry(cause).or_insert_with(|| Gaps {
            milliseconds: vec![],
            worst: 0.0,
            histogram: Default::default(),
        });
        of.worst = of.worst.max(allowed.share(gap));
        let milliseconds = gap.length() as f64 / 1e6;
        let class = CLASSES
            .iter()
            .position(|class| milliseconds < *class as f64);
        of.histogram[class.unwrap_or(CLASSES.len())] += 1;
        of.milliseconds.push(milliseconds);
    }
    for of in by_cause.values_mut() {
        of.milliseconds.sort_by(f64::total_cmp);
    }
    by_cause
}

/// How much of a time lies in one of the others.
fn covered(from: u64, to: u64, others: &[(u64, u64)]) -> u64 {
    let mut others = others.to_vec();
    others.sort_unstable();
    let (mut covered, mut done) = (0, from);
    for (begin, end) in others {
        let (begin, end) = (begin.max(done), end.min(to));
        covered += end.saturating_sub(begin);
        done = done.max(end);
    }
    covered
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run;
        let seconds = (run.ended - run.began) as f64 / 1e9;
        writeln!(f, "{}", run.description)?;
        writeln!(
            f,
            "seed {}, {seconds:.0} s, lease {} ms, retry interval {} ms\n",
            run.seed, run.lease_ms, run.retry_interval_ms
        )?;
        let total: usize = self.faults.values().sum();
        let kinds = self.faults.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        writeln!(
            f,
            "{total} faults ({}); {} could not be done\n",
            kinds.join(", "),
            self.missed
        )?;
        writeln!(
            f,
            "{} elections, {} terms at work, {} hand-overs to another process\n",
            run.elections.len(),
            self.terms,
            self.handovers
        )?;
        self.write_availability(f)?;
        writeln!(f, "\nwithout a leader, by what ended the term before:\n")?;
        self.write_gaps(f)?;
        writeln!(f)?;
        for verdict in &self.verdicts {
            write!(f, "{verdict}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Of each election, least led first; of many those alone, and what is usual.
    fn write_availability(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<(&String, &Availability)> = self.availability.iter().collect();
        let told = match all.len() > TOLD {
            true => {
                all.sort_by(|(_, one), (_, other)| one.of_all.total_cmp(&other.of_all));
                LEAST
            }
            false => TOLD,
        };
        for (election, of) in all.iter().take(told) {
            writeln!(f, "election {election}: {of}")?;
        }
        if all.len() > told {
            let (election, of) = all[all.len() / 2];
            let others = all.len() - told;
            writeln!(
                f,
                "and {others} that were led more; in the middle {election}: {of}"
            )?;
        }
        Ok(())
    }

    fn write_gaps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| cause | count | median ms | max ms | of allowed |")?;
        for class in CLASSES {
            write!(f, " < {class} |")?;
        }
        writeln!(f, " more |")?;
        writeln!(f, "|{}", " --- |".repeat(CLASSES.len() + 6))?;
        for (cause, of) in &self.gaps {
            let count = of.milliseconds.len();
            let median = of.milliseconds[(count - 1) / 2];
            write!(
                f,
                "| {cause} | {count} | {median:.1} | {:.1} | {:.0} % |",
                of.milliseconds[count - 1],
                of.worst * 100.0
            )?;
            for number in of.histogram {
                write!(f, " {number} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
