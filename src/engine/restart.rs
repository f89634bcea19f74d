//! What drives the engine has failed and goes on, or the rules themselves have: what was asked for and what is owed
//! outlives both.

use super::handle::{Engine, Failures};
use super::{Event, Instant, Key, Output, Stop};

/// What fails so often in a row no longer owes anybody more than that the work has stopped.
const HOPELESS: u32 = 3;

/// What the rules say where they are made to panic.
#[cfg(any(test, feature = "testing"))]
pub(super) const BREAKS: &str = "the rules break, as was asked for";

impl Engine {
    /// The session is gone. `running`: what may still work.
    pub(super) fn restart(&mut self, now: Instant, running: &[(Key, u64)]) {
        let lived = now.since(self.failures.last);
        let in_a_row = lived <= self.setup.timings.recovered();
        self.failures = Failures {
            count: if in_a_row { self.failures.count + 1 } else { 1 },
            last: now,
        };
        self.out.retain(outlives_the_session);
        self.forget_session();
        self.event(now, Event::Restarted);
        if self.failures.count >= HOPELESS {
            self.event(now, Event::Hopeless);
        }
        self.end_what_ran(now, running);
    }

    /// As where the rules have panicked half-way through the last input: they may know of work that nobody was asked to
    /// start.
    #[allow(dead_code, reason = "whoever proves the engine makes them")]
    pub(crate) fn interrupt(&mut self) {
        self.busy = true;
        for output in &self.out {
            if let Output::Start { key, .. } = output
                && let Some(desk) = self.desks.get_mut(*key)
            {
                desk.running = None;
            }
        }
    }

    /// Let the rules panic after so many steps, half-way through whatever comes then.
    #[cfg(any(test, feature = "testing"))]
    #[allow(dead_code, reason = "tests do, of this and of the driver")]
    pub(crate) fn break_in(&mut self, steps: u32) {
        self.breaks_in = Some(steps);
    }

    /// The rules have come so far: an event is taken in, or what comes of it is about to be done.
    pub(super) fn step(&mut self) {
        #[cfg(any(test, feature = "testing"))]
        if let Some(steps) = self.breaks_in.take() {
            assert!(steps > 0, "{BREAKS}");
            self.breaks_in = Some(steps - 1);
        }
    }

    /// What was started before and runs no more has stopped; what runs is dropped.
    fn end_what_ran(&mut self, now: Instant, running: &[(Key, u64)]) {
        let started = self.desks.desks.iter();
        let started: Vec<(Key, u64)> = started
            .filter_map(|(key, desk)| Some((*key, desk.running?)))
            .collect();
        for (key, term) in started {
            if running.contains(&(key, term)) {
                self.out.push_back(Output::Drop { key });
                continue;
            }
            if let Some(desk) = self.desks.get_mut(key) {
                desk.running = None;
            }
            let stop = Stop::Dropped;
            self.event(now, Event::WorkStopped { key, term, stop });
        }
    }

    /// New rules, that know of what was heard and asked for, of what is owed and of what may still run. They have no
    /// session.
    pub(super) fn rebuild(&mut self, now: Instant) {
        self.empty_batch();
        self.out.retain(outlives_the_session);
        self.out.push_back(Output::LetGo);
        self.forget_session();
        let renewed = self.rules.renewed();
        let old = std::mem::replace(&mut self.rules, renewed);
        self.said.clear();
        let mut events = vec![];
        for (&key, desk) in &self.desks.desks {
            if desk.observed {
                events.push(Event::Observe { key });
            }
            let Some(candidature) = &desk.candidature else {
                continue;
            };
            events.push(Event::Return {
                key,
                autopsy: candidature.autopsy,
                graceful: candidature.graceful,
                work: desk.running.map(|term| (term, old.lasts_until(now, key))),
                owed: desk.owed,
            });
            if desk.leaves {
                events.push(Event::Leave { key });
            }
            if desk.resigning.is_some() {
                events.push(Event::GiveUp { key });
            }
        }
        if self.stops {
            events.push(Event::Shutdown);
        }
        for event in events {
            self.event(now, event);
        }
    }
}

/// What is asked of the session is void without it, and what its terms' work was to do is said anew; that the process
/// ends is said once only.
fn outlives_the_session(output: &Output) -> bool {
    matches!(
        output,
        Output::Resigned { .. }
            | Output::Left { .. }
            | Output::Finished { .. }
            | Output::Publish { .. }
            | Output::LetGo
            | Output::Abort
            | Output::Tell(_)
    )
}
