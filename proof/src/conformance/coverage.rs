//! What was drawn, and what came of it: a check that never asks proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::step::{Outcome, Said, Step, Way};
use crate::engine::{Answer, Evicted, Office, Try};
use crate::tells::{done, kind};

/// How often what was met.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<(&'static str, &'static str), u64>);

/// All that must be.
const ALL: [(&str, &str); 43] = [
    ("request", "Join"),
    ("request", "Campaign"),
    ("request", "TakeOffice"),
    ("request", "Ready"),
    ("request", "Prove"),
    ("request", "Heartbeat"),
    ("request", "Vacate"),
    ("request", "Release"),
    ("request", "Announce"),
    ("request", "Read"),
    ("request", "Leave"),
    ("request", "BackendGone"),
    ("request", "Counters"),
    ("request", "Evict"),
    ("request", "EndFenced"),
    ("end", "killed"),
    ("end", "cut"),
    ("end", "said goodbye"),
    ("end", "timed out"),
    ("end", "the server crashed"),
    ("end", "the server was restarted"),
    ("befalls", "the counters are reset"),
    ("befalls", "a lever"),
    ("befalls", "the requests are locked"),
    ("befalls", "a stranger"),
    ("befalls", "a fence admits"),
    ("befalls", "a fence refuses"),
    ("befalls", "a notification"),
    ("answer", "refused"),
    ("try", "Began"),
    ("try", "Won"),
    ("try", "Fenced"),
    ("try", "Held"),
    ("try", "barred"),
    ("office", "Began"),
    ("office", "Waiting"),
    ("office", "Fenced"),
    ("office", "Barred"),
    ("heartbeat", "Asked"),
    ("vacate", "done"),
    ("vacate", "not yet"),
    ("evict", "Done"),
    ("evict", "NotAllowed"),
];

impl Coverage {
    pub(super) fn step(&mut self, step: &Step, outcome: &Outcome) {
        match step {
            Step::Open(_) | Step::Commit(_) | Step::Pause => {}
            Step::Ask { request, .. } => self.add("request", kind(request)),
            Step::End { how, .. } => self.add(
                "end",
                match how {
                    Way::Killed => "killed",
                    Way::Cut => "cut",
                    Way::Goodbye => "said goodbye",
                    Way::TimedOut => "timed out",
                },
            ),
            Step::Crash => self.add("end", "the server crashed"),
            Step::Restart => self.add("end", "the server was restarted"),
            Step::Reset => self.add("befalls", "the counters are reset"),
            Step::Lever { .. } => self.add("befalls", "a lever"),
            Step::LockRequests(_) => self.add("befalls", "the requests are locked"),
            Step::Stranger { .. } => self.add("befalls", "a stranger"),
            Step::Fence { .. } if outcome.said == Said::Did(true) => {
                self.add("befalls", "a fence admits");
            }
            Step::Fence { .. } => self.add("befalls", "a fence refuses"),
        }
        if !outcome.notified.is_empty() {
            self.add("befalls", "a notification");
        }
        match &outcome.said {
            Said::Refused => self.add("answer", "refused"),
            Said::Answer(answer) => self.answer(answer),
            Said::Nothing | Said::Did(_) => {}
        }
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Campaigned(tries) => {
                for (_, tried) in done(tries) {
                    match &tried.tried {
                        Try::Began { .. } => self.add("try", "Began"),
                        Try::Won(_) => self.add("try", "Won"),
                        Try::Fenced { .. } => self.add("try", "Fenced"),
                        Try::Held(held) if held.bar.is_some() => self.add("try", "barred"),
                        Try::Held(_) => self.add("try", "Held"),
                    }
                }
            }
            Answer::Office(offices) => {
                for (_, office) in done(offices) {
                    self.add(
                        "office",
                        match office {
                            Office::Began { .. } => "Began",
                            Office::Waiting { .. } => "Waiting",
                            Office::Fenced => "Fenced",
                            Office::Barred(_) => "Barred",
                        },
                    );
                }
            }
            Answer::Asked(asked) if !asked.is_empty() => self.add("heartbeat", "Asked"),
            Answer::Vacated(vacated) => {
                for (_, vacated) in done(vacated) {
                    self.add("vacate", if *vacated { "done" } else { "not yet" });
                }
            }
            Answer::Evicted(evicted) => {
                for (_, evicted) in done(evicted) {
                    self.add(
                        "evict",
                        match evicted {
                            Evicted::Done => "Done",
                            Evicted::NotAllowed | Evicted::BehindPgpool => "NotAllowed",
                        },
                    );
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, kind: &'static str, what: &'static str) {
        *self.0.entry((kind, what)).or_default() += 1;
    }

    /// Together with what another run has met.
    pub fn merge(&mut self, other: &Coverage) {
        for (what, times) in &other.0 {
            *self.0.entry(*what).or_default() += times;
        }
    }

    /// What was never met.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let missing = ALL.iter().filter(|what| !self.0.contains_key(what));
        missing
            .map(|(kind, what)| format!("{kind}: {what}"))
            .collect()
    }

    /// The requests and the ways to end that were never drawn.
    #[must_use]
    pub fn undrawn(&self) -> Vec<String> {
        let drawn =
            |missing: &String| missing.starts_with("request: ") || missing.starts_with("end: ");
        self.missing().into_iter().filter(drawn).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for ((kind, what), times) in &self.0 {
            if *kind != last {
                let line = if last.is_empty() { "" } else { "\n" };
                write!(f, "{line}{kind}:")?;
                last = kind;
            }
            write!(f, " {what} {times},")?;
        }
        Ok(())
    }
}
