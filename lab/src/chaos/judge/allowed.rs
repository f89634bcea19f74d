//! How long a gap may last.
//!
//! The bound is that of what has ended the term, as the simulator's: the columns of the design's table, and room for a
//! machine that has other things to do. What happens in the meantime, as long as the gap may still last, moves it: to the
//! server, to the election, to its last leader, and to whoever was next in line. What befalls others moves it only once the
//! next in line is lost or not known, for then one of them has to come.

use std::collections::BTreeMap;

use super::gaps::{Fault, Gap};
use super::history::{History, Kind, Mark};
use super::holds::{Hold, LONG, holds};
use super::life::{Lives, Looked};
use super::table::Table;
use crate::judge::Span;

/// When a gap must be over.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// At the latest.
    pub by: u64,
    /// It has one cause; the successor had been there for a while, and nothing befell it; nothing else was to wait for.
    pub alone: bool,
    /// The session of its last term was direct.
    pub direct: bool,
    /// What was to wait for.
    pub why: Vec<&'static str>,
}

impl Allowed {
    /// Of each gap.
    pub fn of(history: &History, spans: &[Span], gaps: &[Gap], faults: &[Fault]) -> Vec<Allowed> {
        let record = Record::of(history, spans, gaps, faults);
        gaps.iter().map(|gap| record.allow(gap)).collect()
    }

    /// What a gap has taken, of what it might have.
    pub fn share(&self, gap: &Gap) -> f64 {
        gap.length() as f64 / self.by.saturating_sub(gap.from).max(1) as f64
    }
}

/// What is known of a run, in the form in which it is asked for.
struct Record<'a> {
    table: Table,
    ended: u64,
    gaps: BTreeMap<&'a str, Vec<&'a Gap>>,
    faults: &'a [Fault],
    lives: Lives,
    leaders: BTreeMap<(&'a str, i64), Leader<'a>>,
    standing: BTreeMap<&'a str, Vec<Stands<'a>>>,
    /// Since when and until when fenced transactions of an election were open for long.
    holds: BTreeMap<&'a str, Vec<Hold>>,
}

/// Of a term.
#[derive(Clone, Copy)]
struct Leader<'a> {
    process: &'a str,
    since: u64,
    direct: bool,
}

#[derive(Clone, Copy)]
struct Stands<'a> {
    at: u64,
    leader: Option<&'a str>,
    successor: Option<&'a str>,
}

/// A term that has ended, as far as it is needed here.
struct Case<'a> {
    gap: &'a Gap,
    leader: Option<Leader<'a>>,
    successor: Option<&'a str>,
    /// The two have stood so since then.
    since: u64,
}

/// Something that moves the bound.
struct Event {
    at: u64,
    by: u64,
    of: Of,
    why: &'static str,
}

impl Event {
    fn of_all(at: u64, by: u64, why: &'static str) -> Event {
        Event {
            at,
            by,
            of: Of::All,
            why,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Cause,
    /// Of whoever should lead next.
    Next,
    /// Of somebody else.
    Other,
    /// All have to wait.
    All,
}

/// After its end a fault may show for so long: its victim has to notice, and to come back.
const LINGERS: u64 = 1_500_000_000;

/// The last step may be so much older than the fault that ended the work.
const SOON: u64 = 100_000_000;

impl<'a> Record<'a> {
    fn of(
        history: &'a History,
        spans: &'a [Span],
        gaps: &'a [Gap],
        faults: &'a [Fault],
    ) -> Record<'a> {
        let mut standing: BTreeMap<&str, Vec<Stands>> = BTreeMap::new();
        for mark in &history.faults {
            if let Mark::Standing {
                at,
                election,
                leader,
                successor,
            } = mark
            {
                standing.entry(election).or_default().push(Stands {
                    at: *at,
                    leader: leader.as_deref(),
                    successor: successor.as_deref(),
                });
            }
        }
        let direct: BTreeMap<(&str, i64), bool> = history
            .database
            .terms
            .iter()
            .map(|term| ((term.election.as_str(), term.number), term.direct))
            .collect();
        let leaders = spans.iter().map(|span| {
            let key = (span.election.as_str(), span.term);
            let direct = direct.get(&key).copied().unwrap_or(false);
            let leader = Leader {
                process: &span.process,
                since: span.first,
                direct,
            };
            (key, leader)
        });
        let lives = Lives::of(history);
        let mut of_elections: BTreeMap<&str, Vec<&Gap>> = BTreeMap::new();
        for gap in gaps {
            of_elections.entry(&gap.election).or_default().push(gap);
        }
        Record {
            table: Table::of(history),
            ended: history.run.ended,
            gaps: of_elections,
            faults,
            holds: holds(history, &lives),
            lives,
            leaders: leaders.collect(),
            standing,
        }
    }

    fn allow(&self, gap: &Gap) -> Allowed {
        let leader = self
            .leaders
            .get(&(gap.election.as_str(), gap.after))
            .copied();
        let case = self.case(gap, leader);
        let events = self.events(&case);
        let busy = events
            .iter()
            .any(|event| event.of == Of::All && event.by == 0);
        let room = if busy { self.table.lease } else { 0 };
        let mut open = case.successor.is_none();
        let mut by = gap.from;
        let mut why = vec![];
        let mut causes = 0;
        for event in events.iter().filter(|event| event.of == Of::Cause) {
            if event.at <= gap.from + SOON {
                causes += 1;
                by = by.max(event.by + room);
                why.push(event.why);
            }
        }
        if causes == 0 {
            by = gap.from + self.table.silent() + room;
        }
        if open {
            why.push("nobody known to be next in line");
            by = by.max(gap.from + self.table.both() + room);
        }
        if busy {
            why.push(Kind::BusyProcessors.name());
        }
        let mut moved = open || busy;
        for event in &events {
            if event.at > by || event.of == Of::Other && !open || event.by == 0 {
                continue;
            }
            let is_cause = event.of == Of::Cause && event.at <= gap.from + SOON;
            open |= event.of == Of::Next;
            moved |= !is_cause;
            if !is_cause {
                why.push(event.why);
            }
            by = by.max(event.by + room);
        }
        let settled = gap.from.saturating_sub(case.since) >= self.table.lease / 4;
        Allowed {
            by,
            alone: !moved && causes == 1 && settled && gap.after > 0 && gap.to < self.ended,
            direct: leader.is_some_and(|leader| leader.direct),
            why,
        }
    }

    fn case<'b>(&'b self, gap: &'b Gap, leader: Option<Leader<'b>>) -> Case<'b> {
        let stands = self.standing.get(gap.election.as_str());
        let last = stands.and_then(|stands| {
            let known = stands.partition_point(|stands| stands.at <= gap.from);
            known.checked_sub(1).map(|last| stands[last])
        });
        let last = last.filter(|last| {
            last.leader.is_some() && last.leader == leader.map(|leader| leader.process)
        });
        Case {
            gap,
            leader,
            successor: last.and_then(|last| last.successor),
            since: last.map_or(gap.from, |last| last.at),
        }
    }

    /// In the order of time.
    fn events(&self, case: &Case<'_>) -> Vec<Event> {
        let gap = case.gap;
        let table = &self.table;
        let transfers = self.faults.iter().filter(|fault| {
            fault.kind == Kind::Transfer
                && is_of(fault, gap)
                && fault.begin < gap.to
                && fault.begin + table.lease * 10 > gap.from
        });
        let targets: Vec<&str> = transfers
            .filter_map(|fault| fault.process.as_deref())
            .collect();
        let faults = self.faults.iter().filter(|fault| fault.begin < gap.to);
        let faults = faults.filter_map(|fault| match fault.kind {
            Kind::Suspend | Kind::BusyProcessors | Kind::Transfer => self.of_all(fault, gap),
            kind if kind.hits_server() => self.of_all(fault, gap),
            _ => self.of_somebody(fault, case, &targets),
        });
        let mut events: Vec<Event> = faults.collect();
        let holds = self.holds.get(gap.election.as_str()).into_iter().flatten();
        for hold in holds.filter(|hold| hold.term >= gap.after) {
            if hold.from < gap.to && hold.to > gap.from + LONG {
                // It is ended once the refractory period is over, which no proof spares here.
                let at = hold.from.max(gap.from);
                let by = at + table.silent() + table.lease;
                events.push(Event::of_all(at, by, "a fenced transaction"));
            }
        }
        for (from, to) in self.hindered(gap) {
            events.push(Event::of_all(from, to + table.both(), "nobody fit"));
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// A fault that befalls no process, or not the one that it is about.
    fn of_all(&self, fault: &Fault, gap: &Gap) -> Option<Event> {
        let table = &self.table;
        let at = fault.begin.max(gap.from);
        let why = fault.kind.name();
        match fault.kind {
            kind if kind.hits_server() => {
                let by = fault.end.max(at) + table.server();
                (fault.end > gap.from).then(|| Event::of_all(at, by, why))
            }
            Kind::Suspend => {
                let by = fault.end.saturating_add(table.retry + table.orderly());
                (is_of(fault, gap) && fault.end > gap.from).then(|| Event::of_all(at, by, why))
            }
            Kind::BusyProcessors => {
                let lingers = fault.end.saturating_add(LINGERS / 3) > gap.from;
                lingers.then(|| Event::of_all(at, 0, why))
            }
            // Who leads is told to, not who shall lead.
            Kind::Transfer => {
                let lingers = fault.end.saturating_add(LINGERS) > gap.from;
                (is_of(fault, gap) && lingers).then(|| Event {
                    at,
                    by: at + table.orderly(),
                    of: Of::Cause,
                    why,
                })
            }
            _ => None,
        }
    }

    /// A fault that befalls a process, which leads, or shall, or is somebody else.
    fn of_somebody(&self, fault: &Fault, case: &Case<'_>, targets: &[&str]) -> Option<Event> {
        let (gap, table) = (case.gap, &self.table);
        let process = fault.process.as_deref()?;
        let at = fault.begin.max(gap.from);
        let lingers = fault.end.saturating_add(LINGERS) > gap.from;
        // Nobody may be hindered by what becomes of his words.
        let of_words = matches!(fault.kind, Kind::FullStderr | Kind::ClosedStderr);
        if of_words || !lingers || !(fault.kind == Kind::Depose || is_of(fault, gap)) {
            return None;
        }
        let end = match fault.kind {
            // It leads, or has won, and its work has to wait.
            Kind::BlockedRuntime => fault.end.max(at),
            _ => at,
        };
        let event = |by: u64, of: Of| Event {
            at,
            by,
            of,
            why: fault.kind.name(),
        };
        let leader = case.leader.filter(|leader| leader.process == process);
        if let Some(leader) = leader {
            // What was over when its term began has not ended it.
            let by = end + table.of_leader(fault.kind);
            (fault.end > leader.since).then(|| event(by, Of::Cause))
        } else if Some(process) == case.successor || targets.contains(&process) {
            // Who has become the successor since is well again.
            let befalls = fault.end > case.since || targets.contains(&process);
            befalls.then(|| event(end + table.both(), Of::Next))
        } else {
            let lives = self.lives.lives(process, at);
            lives.then(|| event(end + table.both(), Of::Other))
        }
    }

    /// Times in which no candidate was fit, or nobody but one who was not.
    fn hindered(&self, gap: &Gap) -> Vec<(u64, u64)> {
        let gaps = self.gaps.get(gap.election.as_str());
        let gaps = gaps.map_or(&[][..], Vec::as_slice);
        let comes_back = COMES_BACK + self.table.retry;
        let given_up = self.table.lease * 20;
        let mut instants: Vec<u64> = self
            .faults
            .iter()
            .flat_map(|fault| {
                [
                    fault.begin,
                    fault.end,
                    fault.end.saturating_add(comes_back),
                    fault.begin + given_up,
                ]
            })
            .chain(self.lives.instants())
            .chain([gap.from, gap.to])
            .filter(|at| (gap.from..=gap.to).contains(at))
            .collect();
        instants.sort_unstable();
        instants.dedup();
        let hindered = instants.windows(2).filter(|pair| {
            let looked = Looked {
                gap,
                at: pair[0],
                gaps,
                faults: self.faults,
                lives: &self.lives,
            };
            looked.is_excused(comes_back, given_up)
        });
        hindered.map(|pair| (pair[0], pair[1])).collect()
    }
}

/// So long a candidate may need to come back after its last fault: a connect that hangs is given up after 5 s, and
/// the next begins within a retry interval.
const COMES_BACK: u64 = 5_000_000_000;

/// In this election, or in all.
fn is_of(fault: &Fault, gap: &Gap) -> bool {
    fault
        .election
        .as_ref()
        .is_none_or(|election| *election == gap.election)
}
