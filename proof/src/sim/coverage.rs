//! What happened, and how often: a proof is worth no more than what it has met.

use std::collections::BTreeMap;
use std::fmt;

use super::clock::Time;
use super::fact::{Fact, Who};
use super::fault::Fault;
use super::gaps::Gaps;
use super::names;
use super::office::Manner;
use super::places::{self, MOVES, Place, SELDOM};
use super::storms::Storms;
use crate::engine::{Answer, Campaigned, Id, Input, Key, Output, Request, Try};
use crate::machine::Machine;
use crate::tells::{done, kind};

/// How often each thing happened, in one run or in many.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    faults: BTreeMap<Fault, u64>,
    moves: BTreeMap<(Place, Place), u64>,
    kinds: BTreeMap<(&'static str, &'static str), u64>,
    gaps: Gaps,
    /// With hundreds of elections.
    gaps_of_crowds: Gaps,
    storms: Storms,
    /// Of the run under way.
    places: BTreeMap<(Who, Key), Place>,
    printed: String,
    /// There are too many to look at each change of place: they are looked at when they are asked for.
    pub(super) sparse: bool,
}

/// Of more elections no change of place is looked at.
const WATCHED: usize = 30;

impl Coverage {
    pub(super) fn of(elections: &[Key]) -> Coverage {
        Coverage {
            sparse: elections.len() > WATCHED,
            ..Coverage::default()
        }
    }

    fn count(&mut self, what: &'static str, name: &'static str) {
        *self.kinds.entry((what, name)).or_default() += 1;
    }

    pub(super) fn input(&mut self, input: &Input) {
        self.count("input", names::input(input));
    }

    pub(super) fn request(&mut self, request: &Request) {
        self.count("request", kind(request));
        if let Request::Campaign(bids) = request
            && bids.of.iter().any(|bid| bid.overdue)
        {
            self.count("request", "Campaign, overdue");
        }
    }

    pub(super) fn answer(&mut self, answer: &Answer) {
        self.count("answer", names::answer(answer));
        match answer {
            Answer::Campaigned(tries) => {
                for (_, one) in done(tries) {
                    self.count("try", names::tried(&one.tried));
                    if let Try::Held(held) = &one.tried
                        && let Some(bar) = held.bar
                    {
                        self.count("bar", names::bar(bar));
                    }
                }
            }
            Answer::Read(found) => {
                for found in done(found).filter_map(|(_, found)| found.as_ref()) {
                    if found.view.bar.is_some() {
                        self.count("view", "barred");
                    }
                    if found.view.called {
                        self.count("view", "called");
                    }
                }
            }
            Answer::Office(offices) => {
                for (_, office) in done(offices) {
                    self.count("office", names::office(office));
                }
            }
            Answer::Asked(asked) if !asked.is_empty() => self.count("answer", "Asked for an end"),
            _ => {}
        }
    }

    /// It did not reach all, or refused one.
    pub(super) fn answer_of_a_part(&mut self) {
        self.count("answer", "one of several");
    }

    pub(super) fn manner(&mut self, manner: Manner) {
        self.count("work", names::manner(manner));
    }

    pub(super) fn fenced(&mut self, admitted: bool) {
        self.count("fence", if admitted { "admits" } else { "refuses" });
    }

    /// Whether something that an engine wants comes with a change of place.
    pub(super) fn output(&mut self, output: &Output) -> bool {
        self.count("output", names::output(output));
        if let Output::Tell(notice) = output {
            self.count("notice", names::notice(notice));
        }
        match output {
            Output::LetGo | Output::Cancel { .. } | Output::Left { .. } | Output::Start { .. } => {
                true
            }
            Output::Send(request) => matches!(
                request,
                Request::Join(_) | Request::Release { .. } | Request::Leave(_) | Request::Vacate(_)
            ),
            _ => false,
        }
    }

    /// Whether a candidacy may change its place by this.
    pub(super) fn may_move(&self, who: Who, ids: &BTreeMap<Id, Key>, input: &Input) -> bool {
        match input {
            _ if self.sparse => false,
            Input::Timer
            | Input::Notified(_)
            | Input::Ready { .. }
            | Input::Observe { .. }
            | Input::Unobserve { .. } => false,
            Input::Answered(answer) => match answer {
                Answer::Joined(_)
                | Answer::Office(_)
                | Answer::Vacated(_)
                | Answer::Left(_)
                | Answer::Recorded(_)
                | Answer::Done => true,
                Answer::Campaigned(tries) => tries.iter().any(|(election, one)| match one {
                    Ok(Campaigned {
                        tried: Try::Held(held),
                        ..
                    }) => {
                        let key = ids.get(election);
                        let place = key.map(|key| self.place(who, *key));
                        held.successor != (place == Some(Place::Successor))
                    }
                    _ => true,
                }),
                _ => false,
            },
            _ => true,
        }
    }

    /// Take note of where everything stands. What comes back is a change of place that is on no diagram.
    pub(super) fn places(&mut self, who: Who, engine: &dyn Machine) -> Option<String> {
        if self.sparse {
            return None;
        }
        let mut unknown = None;
        let now = self.look(engine);
        let gone: Vec<Key> = self
            .places
            .range((who, Key(0))..=(who, Key(u32::MAX)))
            .map(|((_, key), _)| *key)
            .filter(|key| now.iter().all(|(other, _)| other != key))
            .collect();
        let gone = gone.into_iter().map(|key| (key, Place::Gone));
        for (key, place) in now.into_iter().chain(gone) {
            let before = if place == Place::Gone {
                self.places.remove(&(who, key))
            } else {
                self.places.insert((who, key), place)
            };
            let before = before.unwrap_or(Place::Gone);
            if before != place {
                *self.moves.entry((before, place)).or_default() += 1;
                if (before, place) != SELDOM && !MOVES.contains(&(before, place)) {
                    unknown = Some(format!(
                        "{who} went from {before:?} to {place:?} in {key:?}"
                    ));
                }
            }
        }
        unknown
    }

    fn look(&mut self, engine: &dyn Machine) -> Vec<(Key, Place)> {
        let mut printed = std::mem::take(&mut self.printed);
        let now = places::places(engine, &mut printed);
        self.printed = printed;
        now
    }

    /// Where everything stands, where its changes are not looked at.
    pub(super) fn look_again(&mut self, who: Who, engine: Option<&dyn Machine>) {
        if self.sparse {
            self.places.retain(|(of, _), _| of.host != who.host);
            let now = engine.map_or(vec![], |engine| self.look(engine));
            let now = now.into_iter().map(|(key, place)| ((who, key), place));
            self.places.extend(now);
        }
    }

    pub(super) fn place(&self, who: Who, key: Key) -> Place {
        self.places.get(&(who, key)).copied().unwrap_or(Place::Gone)
    }

    pub(super) fn fact(&mut self, at: Time, fact: &Fact) {
        match fact {
            Fact::Fault { fault, .. } => *self.faults.entry(*fault).or_default() += 1,
            Fact::Died { who, .. } => self.places.retain(|(of, _), _| of != who),
            Fact::Steady(_) => self.count("check", "steady state"),
            Fact::Calm { .. } => self.count("check", "settled after a storm"),
            Fact::AskedCurrent { current, .. } => {
                self.count("is_current", if *current { "true" } else { "false" });
            }
            Fact::Committed { .. } => self.count("fence", "commits"),
            _ => {}
        }
        if self.sparse {
            self.gaps_of_crowds.observe(at, fact);
        } else {
            self.gaps.observe(at, fact);
            self.storms.observe(at, fact);
        }
    }

    /// Add what another run has met.
    pub fn add(&mut self, other: &Coverage) {
        fn sum<K: Copy + Ord>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(*key).or_default() += count;
            }
        }
        sum(&mut self.faults, &other.faults);
        sum(&mut self.moves, &other.moves);
        sum(&mut self.kinds, &other.kinds);
        self.gaps.add(&other.gaps);
        self.gaps_of_crowds.add(&other.gaps_of_crowds);
        self.storms.add(&other.storms);
    }

    /// What was led too little while things went wrong, in many runs together; `None` also of too few to say.
    pub fn too_quiet(&self) -> Option<String> {
        self.storms.too_quiet()
    }

    /// What has not been met although it must be: every fault, every ending, every change of place that the
    /// rules allow, and every kind of what goes into the engine and comes out of it.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = vec![];
        for fault in Fault::ALL {
            if !self.faults.contains_key(&fault) {
                missing.push(format!("fault: {fault}"));
            }
        }
        for (from, to) in MOVES {
            if !self.moves.contains_key(&(from, to)) {
                missing.push(format!("move: {from:?} to {to:?}"));
            }
        }
        for kind in names::ALL {
            if !self.kinds.contains_key(&kind) {
                missing.push(format!("{}: {}", kind.0, kind.1));
            }
        }
        missing.extend(self.gaps.missing());
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for (fault, count) in &self.faults {
            writeln!(f, "  {fault:<40} {count:>12}")?;
        }
        writeln!(
            f,
            "time without a leader, by ending, in leases of the leader"
        )?;
        write!(f, "{}", self.gaps)?;
        writeln!(f, "the same, in worlds of hundreds of elections")?;
        write!(f, "{}", self.gaps_of_crowds)?;
        writeln!(f, "while things go wrong\n  {}", self.storms)?;
        writeln!(f, "changes of place")?;
        for ((from, to), count) in &self.moves {
            let change = format!("{from:?} to {to:?}");
            writeln!(f, "  {change:<40} {count:>12}")?;
        }
        let mut last = "";
        for ((what, name), count) in &self.kinds {
            if *what != last {
                writeln!(f, "{what}")?;
                last = what;
            }
            writeln!(f, "  {name:<40} {count:>12}")?;
        }
        Ok(())
    }
}
