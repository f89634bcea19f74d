//! The rules panic half-way through an input, at each of their steps: nothing that was told is told again, nothing that
//! is waited for is forgotten.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::super::restart::BREAKS;
use super::handle::{Engined, opened, setup};
use super::*;

const CANDIDACY: u64 = 1;

/// Whether the rules have panicked, as they were made to.
pub(super) fn broke(act: impl FnOnce()) -> bool {
    let Err(why) = catch_unwind(AssertUnwindSafe(act)) else {
        return false;
    };
    match why.downcast_ref::<String>() {
        Some(why) if why == BREAKS => true,
        _ => resume_unwind(why),
    }
}

/// What the driver does.
struct Driven {
    engined: Engined,
    running: Vec<(Key, u64)>,
    opening: bool,
    broke: bool,
    /// Everything that came out.
    done: Vec<Output>,
}

impl Driven {
    /// A leader whose rules break after so many steps from here on.
    fn leader(steps: u32) -> Driven {
        let mut engined = Engined::leader();
        engined.engine.break_in(steps);
        Driven {
            engined,
            running: vec![(KEY, 7)],
            opening: false,
            broke: false,
            done: vec![],
        }
    }

    fn act(&mut self, act: impl FnOnce(&mut Engined)) {
        if broke(|| act(&mut self.engined)) {
            assert!(!std::mem::replace(&mut self.broke, true), "once");
            self.engined.sent.clear();
            let running = self.running.clone();
            self.engined.input(Input::Restarted { running });
        }
        for output in std::mem::take(&mut self.engined.done) {
            match output {
                Output::Open { .. } => self.opening = true,
                Output::LetGo => self.opening = false,
                output => self.done.push(output),
            }
        }
    }

    /// Its work stops where it is told to, and the server answers, until this has come out.
    fn until(&mut self, last: &Output) {
        while !self.done.contains(last) {
            let ends = [Output::Cancel { key: KEY }, Output::Drop { key: KEY }];
            if ends.iter().any(|end| self.done.contains(end)) {
                for (key, term) in std::mem::take(&mut self.running) {
                    let stop = Stop::Dropped;
                    self.act(|engined| engined.input(Input::Stopped { key, term, stop }));
                }
            }
            if std::mem::take(&mut self.opening) {
                self.act(|engined| engined.input(opened()));
            }
            if self.engined.sent.is_empty() {
                self.act(|engined| {
                    engined.now += LEASE / 20;
                    engined.input(Input::Timer);
                });
            } else {
                self.act(Engined::answer_oldest);
            }
        }
    }

    fn count(&self, wanted: impl Fn(&Output) -> bool) -> usize {
        self.done.iter().filter(|output| wanted(output)).count()
    }
}

/// Of each step from an orderly end to the last word.
fn at_each_step(input: fn() -> Input, last: &Output, test: impl Fn(u32, &Driven)) {
    let mut broken = 0;
    for steps in 0.. {
        let mut driven = Driven::leader(steps);
        driven.act(|engined| engined.input(input()));
        driven.until(last);
        test(steps, &driven);
        if !driven.broke {
            break;
        }
        broken += 1;
    }
    assert!(broken >= 8, "there are more steps than {broken}");
}

#[test]
fn who_leaves_hears_once_that_it_has_left() {
    let key = KEY;
    let leave = || Input::Leave {
        key: KEY,
        candidacy: CANDIDACY,
    };
    at_each_step(leave, &Output::Left { key }, |steps, driven| {
        let left = driven.count(|output| *output == Output::Left { key });
        assert_eq!(left, 1, "at step {steps}");
        assert_eq!(driven.running, [], "at step {steps}");
        let engine = &driven.engined.engine;
        assert_eq!(engine.desks.get(key), None, "at step {steps}");
    });
}

#[test]
fn who_resigns_hears_once_that_it_has_resigned() {
    let (key, candidacy, term) = (KEY, CANDIDACY, Some(7));
    let give_up = || Input::GiveUp {
        key: KEY,
        candidacy: CANDIDACY,
    };
    let resigned = Output::Resigned {
        key,
        candidacy,
        term,
    };
    at_each_step(give_up, &resigned, |steps, driven| {
        let resigned = driven.count(|output| *output == resigned);
        assert_eq!(resigned, 1, "at step {steps}");
    });
}

/// The candidacy is left in the step before the last.
#[test]
fn who_shuts_down_hears_of_each_candidacy_and_ends() {
    let (key, refused) = (KEY, false);
    let finished = Output::Finished { refused };
    at_each_step(
        || Input::Shutdown,
        &finished,
        |steps, driven| {
            let count = |wanted| driven.count(|output| *output == wanted);
            let ends = (count(Output::Left { key }), count(finished.clone()));
            assert_eq!(ends, (1, 1), "at step {steps}");
            assert_eq!(driven.running, [], "at step {steps}");
        },
    );
}

/// Work that does not stop ends the process, where that was asked for.
#[test]
fn a_process_whose_work_outlives_its_lease_ends() {
    let aborts = true;
    let mut broken = 0;
    for steps in 0.. {
        let mut engined = Engined::leader_with(Setup { aborts, ..setup() });
        engined.now += LEASE * 2;
        engined.engine.break_in(steps);
        let broke = broke(|| engined.input(Input::Timer));
        if broke {
            let running = vec![(KEY, 7)];
            engined.input(Input::Restarted { running });
        }
        let (abort, drop) = (Output::Abort, Output::Drop { key: KEY });
        assert!(engined.has_done(&abort), "at step {steps}");
        assert!(engined.has_done(&drop), "at step {steps}");
        if !broke {
            break;
        }
        broken += 1;
    }
    assert!(broken >= 4, "there are more steps than {broken}");
}
