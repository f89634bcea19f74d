//! What an engine wants done: in an order that nobody may see the wrong way round, and what must come of an input.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::Running;
use crate::engine::{Ending, Input, Instant, Key, Notice, Output, Request};

/// What one input has asked for so far.
pub(super) struct Acts {
    must: Must,
    lease: Duration,
    /// It is nothing without a first session, and has had none.
    unconnected: bool,
    looks: bool,
    refused: bool,
    let_go: bool,
    began: BTreeMap<Key, u64>,
    shown: BTreeMap<Key, Option<u64>>,
    cancelled: Vec<Key>,
    dropped: Vec<Key>,
}

/// What must come of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    Nothing,
    /// There never was a session, and this process is nothing without one.
    Finish,
    /// A request was refused that costs more than time.
    LetGo,
    /// A request was refused that costs nothing but time.
    Stay,
    /// It tells what is known.
    BeSilent,
    /// It tells of an election that is followed.
    Look,
}

impl Acts {
    /// `follows`: elections in which this process neither leads nor comes next.
    pub(super) fn of(
        running: &mut Running,
        (now, lease, fails_fast): (Instant, Duration, bool),
        follows: impl Fn(Key) -> bool,
        input: &Input,
    ) -> Acts {
        let oldest = running.answered(input);
        // Else time brings something too.
        let alone = running.engine.poll_timeout() > now;
        let must = match input {
            Input::NotOpened { .. } if fails_fast && !running.connected => Must::Finish,
            Input::Refused { .. } => match oldest {
                Some("Announce") if alone => Must::Stay,
                Some("Announce") | None => Must::Nothing,
                Some(_) => Must::LetGo,
            },
            Input::Notified(notifications) if alone => {
                let own = running.line.as_ref().map_or(0, |line| line.pid);
                let mut others = notifications.iter().filter(|one| one.pid != own).peekable();
                if others.peek().is_none() {
                    Must::BeSilent
                } else if others
                    .any(|one| super::elections::key(&one.election).is_some_and(&follows))
                {
                    Must::Look
                } else {
                    Must::Nothing
                }
            }
            _ => Must::Nothing,
        };
        Acts {
            must,
            unconnected: fails_fast && !running.connected,
            lease,
            looks: false,
            refused: false,
            let_go: false,
            began: BTreeMap::new(),
            shown: BTreeMap::new(),
            cancelled: vec![],
            dropped: vec![],
        }
    }

    /// Take note of the next one. What comes back must not be.
    pub(super) fn next(&mut self, running: &Running, output: &Output) -> Option<String> {
        match output {
            Output::Begin { key, term, .. } => {
                self.began.insert(*key, *term);
            }
            Output::Publish { key, published } => {
                self.shown.insert(*key, published.own);
            }
            Output::Start { key, term } => {
                if self.began.get(key) != Some(term) {
                    return Some(format!("term {term} of {key:?} starts and has not begun"));
                }
                if self.shown.get(key) != Some(&Some(*term)) {
                    return Some(format!("term {term} of {key:?} starts and is not shown"));
                }
            }
            Output::Cancel { key } => self.cancelled.push(*key),
            Output::Drop { key } => self.dropped.push(*key),
            Output::Send(Request::Vacate(vacates)) => {
                let unasked = vacates
                    .of
                    .iter()
                    .find(|vacate| vacate.ending == Ending::SteppedDown && vacate.asked.is_none());
                if let Some(vacate) = unasked {
                    return Some(format!(
                        "term {} was ended by an operator, and nobody is told by whom",
                        vacate.term
                    ));
                }
            }
            Output::Resigned { key, .. } | Output::Left { key } if running.works(*key) => {
                return Some(format!("{key:?} is given up while its work runs"));
            }
            Output::Resigned {
                key, term: None, ..
            } => {
                if let Some(Some(term)) = running.resigning.get(key) {
                    return Some(format!("{key:?} is given up, and not its term {term}"));
                }
            }
            Output::Tell(Notice::Muddled(muddle)) => {
                return Some(format!(
                    "a session is given up that does what it should: {muddle:?}"
                ));
            }
            Output::Send(Request::Read(_)) => self.looks = true,
            Output::LetGo => self.let_go = true,
            Output::Goodbye if running.elections.keys().any(|key| running.works(*key)) => {
                return Some("the session says goodbye while work runs".to_owned());
            }
            Output::Finished { refused: true } => {
                self.refused = true;
                // It may have wanted it before its driver panicked.
                if !self.unconnected {
                    return Some("it gives up, and its first session may come later".to_owned());
                }
            }
            _ => {}
        }
        None
    }

    /// All is done, and nothing panicked.
    pub(super) fn end(&self, running: &Running, now: Instant) -> Option<String> {
        self.what_must_come(running)
            .or_else(|| self.deaf(running, now))
            .or_else(|| self.ticks(running))
    }

    fn what_must_come(&self, running: &Running) -> Option<String> {
        let reads = |kind: &&str| *kind == "Read";
        let (wrong, what) = match self.must {
            Must::Nothing => return None,
            Must::Finish => (
                !self.refused,
                "it is nothing without a first session, and goes on",
            ),
            Must::LetGo => (
                !self.let_go,
                "what was refused is taken for done, and is not",
            ),
            Must::Stay => (
                self.let_go,
                "a hint could not be given, and the session ends for it",
            ),
            Must::BeSilent => (self.looks, "what it has said itself makes it look"),
            Must::Look => (
                (running.line.as_ref()).is_some_and(|line| !line.under_way.iter().any(reads)),
                "somebody tells of an election that is followed, and nobody looks",
            ),
        };
        wrong.then(|| what.to_owned())
    }

    /// Work that cannot hear of its end is dropped where it is told, or at once.
    fn deaf(&self, running: &Running, now: Instant) -> Option<String> {
        if running.engine.poll_timeout() <= now {
            return None;
        }
        let mut cancelled = self.cancelled.iter();
        let deaf = cancelled.find(|key| {
            let candidate = running.elections.get(key);
            candidate.is_some_and(|candidate| !candidate.graceful)
                && running.works(**key)
                && !self.dropped.contains(key)
        })?;
        Some(format!(
            "{deaf:?} is told to stop, cannot hear it, and is not dropped"
        ))
    }

    /// Timers stand still while the machine is suspended: work would go on when it wakes, for as long as nobody looks.
    fn ticks(&self, running: &Running) -> Option<String> {
        let tick = running.engine.look_every();
        let works = running.elections.keys().any(|key| running.works(*key));
        (works && tick > self.lease / 20)
            .then(|| format!("work runs, and the clock is looked at every {tick:?}"))
    }
}
