//! The pretend server's side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::names::Names;
use super::side::Side;
use super::step::{Lever, Outcome, PATIENCE, PAUSE, Process, SILENCE, Said, Step, Way, address};
use crate::engine::{Answer, Counters, Instant, Request};
use crate::postgres::{Caller, Cause, Flaw, Kind, Pid, Postgres, Refusal, Word};

/// It starts with nothing.
pub(super) struct Pretend {
    server: Postgres,
    pub(super) names: Names,
    now: Instant,
    sessions: Vec<Pid>,
    /// Those that listen.
    processes: BTreeMap<Pid, Process>,
    transactions: Vec<Option<u64>>,
    resets: i64,
}

impl Pretend {
    pub(super) fn new(flaw: Option<Flaw>) -> Pretend {
        let zero = Counters {
            killed: 0,
            fatal: 0,
            reset: 0,
        };
        Pretend {
            server: Postgres::new(flaw),
            names: Names::new("e".to_owned(), zero),
            now: Instant::from_nanos(1_000_000_000_000),
            sessions: vec![],
            processes: BTreeMap::new(),
            transactions: vec![],
            resets: 0,
        }
    }

    /// Whether a session holds a lock of an election.
    pub(super) fn holds(&self, kind: Kind, election: usize, session: usize) -> bool {
        let name = self.names.election(election);
        self.server.holder(kind, &name) == self.sessions.get(session).copied()
    }

    /// How many fenced transactions there may be.
    pub(super) fn open_transactions(&self) -> Vec<usize> {
        let all = self.transactions.iter().enumerate();
        let open = all.filter(|(_, transaction)| transaction.is_some());
        open.map(|(index, _)| index).collect()
    }

    fn connect(&mut self, caller: Caller) -> Option<Pid> {
        let pid = self.server.connect(self.now, caller, PATIENCE)?;
        self.names.opened(pid, self.sessions.len());
        self.sessions.push(pid);
        Some(pid)
    }

    fn ask(&mut self, session: usize, request: &Request) -> crate::Result<Said> {
        let pid = self.sessions[session];
        let Some(request) = self.names.request(request) else {
            return Err(format!("{request:?} is about what nobody has joined").into());
        };
        let answer = self.execute(pid, &request);
        Ok(match answer {
            Ok(answer) => {
                let answer = self.names.answer(answer);
                Said::Answer(answer.ok_or("the pretend server answers of what is not there")?)
            }
            Err(_) => Said::Refused,
        })
    }

    /// A statement begins and, a little later, ends.
    fn execute(&mut self, pid: Pid, request: &Request) -> Result<Answer, Refusal> {
        self.pass(Duration::from_micros(10));
        let answer = self.server.execute(self.now, pid, request);
        self.pass(Duration::from_micros(10));
        self.server.touch(self.now, pid);
        answer
    }

    fn end(&mut self, session: usize, how: Way) {
        let pid = self.sessions[session];
        match how {
            Way::Killed => self.server.end(pid, Cause::Killed),
            Way::Cut | Way::Goodbye => self.server.end(pid, Cause::Client),
            Way::TimedOut => {
                self.pass(SILENCE * 2);
                self.server.end_idle(self.now);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn pull(&mut self, election: usize, lever: &Lever) -> Said {
        let name = self.names.election(election);
        let of = |process: &usize| -> Arc<str> { address(*process).into() };
        match lever {
            Lever::StepDown => return Said::Did(self.server.step_down(&name)),
            Lever::Suspend => self.server.suspend(&name),
            Lever::Resume => self.server.resume(&name),
            Lever::Exclude(process) => self.server.exclude(&name, &of(process)),
            Lever::Include(process) => self.server.include(&name, &of(process)),
            Lever::Transfer(process) => {
                self.server.transfer(self.now, &name, &of(process));
            }
        }
        Said::Nothing
    }

    /// What its sessions have heard. A round trip on each, as the real one needs.
    fn notified(&mut self) -> Vec<(usize, Option<usize>, usize)> {
        for pid in self.listening() {
            let _ = self.execute(pid, &Request::Prove);
        }
        let words = self.server.take_words().into_iter();
        let notified = words.filter_map(|(to, word)| match word {
            Word::Notification { by, election } if self.processes.contains_key(&to) => Some((
                self.names.session(to)?,
                self.names.session(by),
                self.names.number(&election)?,
            )),
            _ => None,
        });
        let mut notified: Vec<_> = notified.collect();
        notified.sort_unstable();
        notified
    }

    fn listening(&self) -> Vec<Pid> {
        let listening = self.processes.keys().copied();
        listening.filter(|pid| self.server.serves(*pid)).collect()
    }

    fn open(&mut self, process: Process) -> crate::Result<Said> {
        let caller = Caller {
            instance: process.number as u64 + 1,
            direct: process.direct,
            lease: process.lease,
            silence_limit: PATIENCE,
        };
        let pid = self.connect(caller).ok_or("the pretend server is down")?;
        self.processes.insert(pid, process);
        Ok(Said::Nothing)
    }

    /// Nothing open outlives it.
    fn start(&mut self) {
        self.server.start();
        self.transactions.iter_mut().for_each(|open| *open = None);
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.server.reset_counters(self.resets);
        let zero = Counters {
            killed: 0,
            fatal: 0,
            reset: self.resets,
        };
        self.names.counters_from(zero, self.resets);
    }

    fn fence(&mut self, election: usize, term: u64, holds_row: bool) -> Said {
        let term = self.names.term(super::step::id(election), term);
        let name = self.names.election(election);
        let transaction = self.server.fence(&name, term, holds_row);
        self.transactions.push(transaction);
        Said::Did(transaction.is_some())
    }

    fn commit(&mut self, transaction: usize) -> Said {
        let transaction = self.transactions[transaction].take();
        Said::Did(transaction.is_some_and(|open| self.server.commit(open)))
    }

    fn stranger(&mut self, election: usize, succession: bool) -> crate::Result<Said> {
        let pid = self.connect(Caller::STRANGER).ok_or("the server is down")?;
        let name = self.names.election(election);
        Ok(Said::Did(if succession {
            self.server.take_place(&name, pid)
        } else {
            self.server.take_lock(&name, pid)
        }))
    }

    fn take(&mut self, step: &Step) -> crate::Result<Said> {
        match step {
            Step::Open(process) => return self.open(*process),
            Step::Ask { session, request } => return self.ask(*session, request),
            Step::End { session, how } => self.end(*session, *how),
            Step::Crash => {
                self.server.crash();
                self.start();
            }
            Step::Restart => {
                self.server.shut_down();
                self.start();
            }
            Step::Reset => self.reset(),
            Step::Lever { election, lever } => return Ok(self.pull(*election, lever)),
            Step::LockRequests(locked) => self.server.lock_requests(*locked),
            Step::Fence {
                election,
                term,
                holds_row,
            } => return Ok(self.fence(*election, *term, *holds_row)),
            Step::Commit(transaction) => return Ok(self.commit(*transaction)),
            Step::Stranger {
                election,
                succession,
            } => return self.stranger(*election, *succession),
            Step::Pause => self.pass(PAUSE),
        }
        Ok(Said::Nothing)
    }
}

impl Side for Pretend {
    fn step(&mut self, step: &Step) -> crate::Result<Outcome> {
        self.pass(Duration::from_millis(1));
        let said = self.take(step)?;
        let leaving: Vec<Pid> = self.server.leaving().collect();
        for pid in leaving {
            self.server.leave_list(pid);
            self.server.leave_list(pid);
        }
        let tells = match step {
            Step::Ask { request, .. } => matches!(request, Request::Announce(_)),
            step => matches!(step, Step::Lever { .. }),
        };
        let notified = if tells {
            self.notified()
        } else {
            self.server.take_words();
            vec![]
        };
        let sessions = self.sessions.iter().enumerate();
        let alive = sessions.filter(|(_, pid)| self.server.serves(**pid));
        let alive: BTreeSet<usize> = alive.map(|(index, _)| index).collect();
        Ok(Outcome {
            said,
            alive,
            notified,
        })
    }
}
