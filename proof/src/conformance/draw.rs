//! What is done next, by chance: mostly what a process would ask, and now and then what none would.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::pretend::Pretend;
use super::step::{
    BLOCK, LEASES, Lever, Outcome, PATIENCE, Process, SHORT_LEASE, SILENCE, Said, Step, Way,
    address, election, id,
};
use crate::engine::{
    Answer, Asked, Bid, Ending, Heard, Id, Join, Request, Slice, TakeOffice, Vacate,
};
use crate::postgres::{Kind, OPERATOR};
use crate::tells::{begun, done};

/// So many sessions live at once at most.
const MOST_SESSIONS: usize = 4;

pub(super) struct Draw {
    chance: fastrand::Rng,
    processes: Vec<Process>,
    elections: Vec<Election>,
    sessions: Vec<Session>,
    transactions: usize,
    requests_locked: bool,
    /// How the server goes down in this run, and after how many steps.
    falls: Option<(usize, Step)>,
    steps: usize,
    /// What comes first.
    next: VecDeque<Step>,
}

#[derive(Clone, Debug, Default)]
struct Election {
    /// Somebody has joined it.
    is_there: bool,
    terms: Vec<u64>,
    /// The lease of the last term.
    lease: Duration,
    /// Nothing was heard of, nor has begun, in a later block.
    block: u64,
    suspended: bool,
}

struct Session {
    /// `None`: a stranger.
    process: Option<Process>,
    alive: bool,
    joined: BTreeSet<usize>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        let mut chance = fastrand::Rng::with_seed(seed);
        let ranked = chance.u8(..3) == 0;
        let processes: Vec<Process> = (0..chance.usize(2..=4))
            .map(|number| Process {
                number,
                lease: LEASES[chance.usize(..LEASES.len())],
                direct: chance.u8(..4) > 0,
                priority: if ranked { chance.i32(0..3) } else { 0 },
            })
            .collect();
        let elections = vec![Election::default(); chance.usize(1..=3)];
        // One seed after another: so few are enough for both.
        let fall = match seed % 4 {
            0 => Some(Step::Crash),
            2 => Some(Step::Restart),
            _ => None,
        };
        let falls = fall.map(|fall| (chance.usize(30..120), fall));
        let next = processes.iter().map(|process| Step::Open(*process));
        let next = next.collect();
        Draw {
            chance,
            processes,
            elections,
            sessions: vec![],
            transactions: 0,
            requests_locked: false,
            falls,
            steps: 0,
            next,
        }
    }

    pub(super) fn next(&mut self, server: &Pretend) -> Step {
        self.steps += 1;
        if let Some(step) = self.next.pop_front() {
            return step;
        }
        let alive = self.alive(|_| true);
        let candidates = self.alive(|session| session.process.is_some());
        if candidates.is_empty() {
            return self.open();
        }
        let kind = self.chance.u32(..1000);
        if let Some((_, fall)) = self.falls.take_if(|(at, _)| self.steps > *at) {
            let steps = self.fall(fall);
            self.next.extend(steps);
            return self.next(server);
        }
        let steps = match kind {
            ..40 if alive.len() < MOST_SESSIONS => vec![self.open()],
            ..100 => self.end(&alive),
            100..120 => vec![Step::Reset],
            ..200 if !self.requests_locked => self.lever(),
            120..215 => self.lock_requests(true),
            ..300 if self.requests_locked => self.lock_requests(false),
            215..340 => self.fence(),
            340..390 => self.commit(server),
            ..400 if alive.len() < MOST_SESSIONS => self.stranger(),
            _ => self.ask(&candidates, server),
        };
        self.next.extend(steps);
        match self.next.pop_front() {
            Some(step) => step,
            None => {
                let session = self.one_of(&candidates);
                let request = Request::Prove;
                Step::Ask { session, request }
            }
        }
    }

    /// What came of it.
    pub(super) fn learn(&mut self, step: &Step, outcome: &Outcome) {
        match step {
            Step::Open(process) => self.opened(Some(*process)),
            Step::Stranger { .. } => self.opened(None),
            Step::Fence { .. } => self.transactions += 1,
            Step::LockRequests(locked) => self.requests_locked = *locked,
            Step::Ask { session, request } => self.answered(*session, request, &outcome.said),
            _ => {}
        }
        for (number, session) in self.sessions.iter_mut().enumerate() {
            session.alive = outcome.alive.contains(&number);
        }
    }

    fn opened(&mut self, process: Option<Process>) {
        self.sessions.push(Session {
            process,
            alive: true,
            joined: BTreeSet::new(),
        });
    }

    fn answered(&mut self, session: usize, request: &Request, said: &Said) {
        let answer = match said {
            Said::Answer(answer) => answer,
            _ => {
                // As the engine does it.
                let how = Way::Cut;
                return self.next.push_front(Step::End { session, how });
            }
        };
        match (request, answer) {
            (_, Answer::Joined(joined)) => {
                for (_, joined) in done(joined) {
                    let number = election(joined.election);
                    self.elections[number].is_there = true;
                    self.sessions[session].joined.insert(number);
                }
            }
            (Request::Leave(elections), _) => {
                for id in &elections.of {
                    self.sessions[session].joined.remove(&election(*id));
                }
            }
            (_, answer) => {
                for (election, term) in begun(answer) {
                    self.began(session, election, term);
                }
            }
        }
    }

    fn began(&mut self, session: usize, of: Id, term: u64) {
        let its = &mut self.elections[election(of)];
        its.terms.push(term);
        its.block = its.block.max(term / BLOCK);
        if let Some(process) = self.sessions[session].process {
            its.lease = process.lease;
        }
    }

    fn alive(&self, which: impl Fn(&Session) -> bool) -> Vec<usize> {
        let all = self.sessions.iter().enumerate();
        let alive = all.filter(|(_, session)| session.alive && which(session));
        alive.map(|(number, _)| number).collect()
    }

    fn one_of(&mut self, numbers: &[usize]) -> usize {
        numbers[self.chance.usize(..numbers.len())]
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.chance.u32(..100) < percent
    }

    // What is no request -----------------------------------------------------------------------------------------

    fn open(&mut self) -> Step {
        Step::Open(self.processes[self.chance.usize(..self.processes.len())])
    }

    fn end(&mut self, alive: &[usize]) -> Vec<Step> {
        let session = self.one_of(alive);
        let end = |how| Step::End { session, how };
        match self.chance.u8(..10) {
            ..4 => vec![end(Way::Killed)],
            4..7 => vec![end(Way::Cut)],
            7..9 => vec![end(Way::Goodbye)],
            _ if self.sessions[session].process.is_none() => vec![end(Way::Goodbye)],
            _ => {
                let request = Request::Release {
                    leadership: vec![],
                    succession: vec![],
                    silence_limit: SILENCE,
                };
                vec![Step::Ask { session, request }, end(Way::TimedOut)]
            }
        }
    }

    fn fall(&mut self, fall: Step) -> Vec<Step> {
        let mut steps = self.lock_requests(false);
        steps.push(fall);
        steps
    }

    fn lock_requests(&mut self, lock: bool) -> Vec<Step> {
        if self.requests_locked == lock {
            vec![]
        } else {
            vec![Step::LockRequests(lock)]
        }
    }

    fn lever(&mut self) -> Vec<Step> {
        let Some(of) = self.election() else {
            return vec![];
        };
        let process = self.chance.usize(..self.processes.len());
        let its = &mut self.elections[of];
        let lever = if its.suspended && self.chance.u8(..3) > 0 {
            its.suspended = false;
            Lever::Resume
        } else {
            match self.chance.u8(..12) {
                ..4 => Lever::StepDown,
                4 => {
                    its.suspended = true;
                    Lever::Suspend
                }
                5 => Lever::Exclude(process),
                6..8 => Lever::Include(process),
                8 => Lever::Resume,
                // What is given up after ten leases must not be in a run.
                _ => {
                    let lease = if its.terms.is_empty() {
                        self.processes[process].lease
                    } else {
                        its.lease
                    };
                    if lease == SHORT_LEASE {
                        Lever::StepDown
                    } else {
                        Lever::Transfer(process)
                    }
                }
            }
        };
        let election = of;
        vec![Step::Lever { election, lever }]
    }

    /// One that somebody has joined.
    fn election(&mut self) -> Option<usize> {
        let all = 0..self.elections.len();
        let there: Vec<usize> = all.filter(|of| self.elections[*of].is_there).collect();
        (!there.is_empty()).then(|| self.one_of(&there))
    }

    /// Mostly the last one.
    fn term(&mut self, of: usize) -> u64 {
        let last = self.elections[of].terms.last().copied().unwrap_or(1);
        if self.percent(80) || self.elections[of].terms.is_empty() {
            return last;
        }
        let terms = self.elections[of].terms.clone();
        terms[self.chance.usize(..terms.len())]
    }

    fn fence(&mut self) -> Vec<Step> {
        let Some(election) = self.election() else {
            return vec![];
        };
        let term = self.term(election);
        let holds_row = self.chance.bool();
        vec![Step::Fence {
            election,
            term,
            holds_row,
        }]
    }

    fn commit(&mut self, server: &Pretend) -> Vec<Step> {
        let open = server.open_transactions();
        if open.is_empty() {
            return vec![];
        }
        vec![Step::Commit(self.one_of(&open))]
    }

    fn stranger(&mut self) -> Vec<Step> {
        let Some(election) = self.election() else {
            return vec![];
        };
        let succession = self.chance.bool();
        vec![Step::Stranger {
            election,
            succession,
        }]
    }

    // Requests ---------------------------------------------------------------------------------------------------

    fn ask(&mut self, candidates: &[usize], server: &Pretend) -> Vec<Step> {
        let session = self.one_of(candidates);
        if self.sessions[session].joined.is_empty() && self.percent(70) {
            let request = self.join(session);
            return vec![Step::Ask { session, request }];
        }
        let joined: Vec<usize> = self.sessions[session].joined.iter().copied().collect();
        let leads: Vec<usize> = joined
            .iter()
            .copied()
            .filter(|of| server.holds(Kind::Leadership, *of, session))
            .collect();
        let request = match self.chance.u32(..100) {
            ..6 => Some(self.join(session)),
            6..34 => self.campaign(session, &joined, server),
            34..46 => self.take_office(session, &joined, &leads),
            46..53 => self.ready(&joined, &leads),
            53..55 => Some(Request::Prove),
            55..62 => self.some(&joined).map(Request::Heartbeat),
            62..72 => self.vacate(),
            72..78 => self.release(session, &leads, server),
            78..81 => self.some(&joined).map(Request::Announce),
            81..86 => Some(self.read()),
            86..89 => self.some(&joined).map(|of| Request::Leave(slice(of))),
            89..92 => self.about_terms().map(|of| Request::BackendGone(slice(of))),
            92..95 => Some(Request::Counters),
            95..98 => return self.evict(session, server),
            _ => self.some(&joined).map(|of| Request::EndFenced(slice(of))),
        };
        let request = request.map(|request| Step::Ask { session, request });
        request.into_iter().collect()
    }

    /// Some of these, at least one.
    fn some(&mut self, of: &[usize]) -> Option<Vec<Id>> {
        if of.is_empty() {
            return None;
        }
        let first = self.one_of(of);
        let mut some: BTreeSet<usize> = of.iter().copied().filter(|_| self.chance.bool()).collect();
        some.insert(first);
        Some(some.into_iter().map(id).collect())
    }

    fn heard(&mut self, of: usize) -> Heard {
        let lease = LEASES[self.chance.usize(..LEASES.len())];
        let its = &mut self.elections[of];
        let term = match self.chance.u32(..100) {
            ..80 => return Heard::default(),
            80..90 => its.terms.last().copied().unwrap_or(0),
            // A block in which nothing has begun here: a term's own number says when it began.
            90..98 => {
                its.block += self.chance.u64(1..=2);
                its.block * BLOCK + 500_000
            }
            // Not to be believed.
            _ => (its.block + 5000) * BLOCK + 500_000,
        };
        Heard { term, lease }
    }

    fn join(&mut self, session: usize) -> Request {
        let all: Vec<usize> = (0..self.elections.len()).collect();
        let some = self.some(&all).unwrap_or_default();
        let process = self.sessions[session].process;
        let join = |of: Id, draw: &mut Draw| Join {
            name: election(of).to_string().into(),
            address: address(process.map_or(0, |process| process.number)).into(),
            priority: process.map_or(0, |process| process.priority),
            heard: draw.heard(election(of)),
        };
        Request::Join(slice(some.into_iter().map(|of| join(of, self)).collect()))
    }

    fn campaign(&mut self, session: usize, joined: &[usize], server: &Pretend) -> Option<Request> {
        let mut bids = vec![];
        for of in self.some(joined)? {
            let holds = server.holds(Kind::Succession, election(of), session);
            let lies = self.percent(4);
            // Who leads does not try, but seldom.
            if server.holds(Kind::Leadership, election(of), session) && !self.percent(10) {
                continue;
            }
            bids.push(Bid {
                election: of,
                successor: holds != lies,
                overdue: self.percent(15),
                heard: self.heard(election(of)),
            });
        }
        (!bids.is_empty()).then_some(Request::Campaign(slice(bids)))
    }

    fn take_office(
        &mut self,
        _session: usize,
        joined: &[usize],
        leads: &[usize],
    ) -> Option<Request> {
        let of = if leads.is_empty() {
            if !self.percent(5) {
                return None;
            }
            joined
        } else {
            leads
        };
        let mut offices = vec![];
        for of in self.some(of)? {
            let claims = [Duration::ZERO, LEASES[0], LEASES[1], LEASES[2]];
            offices.push(TakeOffice {
                election: of,
                waited: self.chance.bool(),
                elsewhere: claims[self.chance.usize(..claims.len())],
                heard: self.heard(election(of)),
            });
        }
        Some(Request::TakeOffice(slice(offices)))
    }

    fn ready(&mut self, joined: &[usize], leads: &[usize]) -> Option<Request> {
        let of = if leads.is_empty() && self.percent(10) {
            joined
        } else {
            leads
        };
        let some = self.some(of)?;
        let ready = some.into_iter().map(|of| (of, self.term(election(of))));
        Some(Request::Ready(slice(ready.collect())))
    }

    fn about_terms(&mut self) -> Option<Vec<(Id, u64)>> {
        let of = self.election()?;
        Some(vec![(id(of), self.term(of))])
    }

    fn vacate(&mut self) -> Option<Request> {
        let of = self.election()?;
        let endings = [
            Ending::Resigned,
            Ending::SteppedDown,
            Ending::Failed,
            Ending::Deposed,
        ];
        let asked = self.percent(20).then(|| Asked {
            kind: "step down".into(),
            by: OPERATOR.into(),
        });
        Some(Request::Vacate(slice(vec![Vacate {
            election: id(of),
            term: self.term(of),
            ending: endings[self.chance.usize(..endings.len())],
            asked,
        }])))
    }

    /// What it holds; seldom what it does not.
    fn release(&mut self, session: usize, leads: &[usize], server: &Pretend) -> Option<Request> {
        let joined: Vec<usize> = self.sessions[session].joined.iter().copied().collect();
        let lies = self.percent(4);
        let places: Vec<usize> = joined
            .iter()
            .copied()
            .filter(|of| lies || server.holds(Kind::Succession, *of, session))
            .collect();
        let leadership = if self.percent(70) {
            self.some(leads).unwrap_or_default()
        } else {
            vec![]
        };
        let succession = if self.percent(50) {
            self.some(&places).unwrap_or_default()
        } else {
            vec![]
        };
        if leadership.is_empty() && succession.is_empty() && !self.percent(10) {
            return None;
        }
        Some(Request::Release {
            leadership,
            succession,
            silence_limit: PATIENCE,
        })
    }

    fn read(&mut self) -> Request {
        let all: Vec<usize> = (0..self.elections.len()).collect();
        let some = self.some(&all).unwrap_or_default();
        let names = some.into_iter();
        Request::Read(slice(
            names.map(|of| election(of).to_string().into()).collect(),
        ))
    }

    /// A leader that was silent for its lease, or one that has just spoken: nobody waits for what is between.
    fn evict(&mut self, session: usize, server: &Pretend) -> Vec<Step> {
        let Some(of) = self.election() else {
            return vec![];
        };
        let holders = self.alive(|_| true);
        let mut holders = holders.into_iter();
        let holder = holders.find(|holder| server.holds(Kind::Leadership, of, *holder));
        if holder == Some(session) {
            return vec![];
        }
        let mut steps = vec![];
        let leader = holder.filter(|holder| self.sessions[*holder].process.is_some());
        if self.percent(60) && self.elections[of].lease == SHORT_LEASE {
            steps.push(Step::Pause);
        } else if let Some(leader) = leader {
            steps.push(Step::Ask {
                session: leader,
                request: Request::Prove,
            });
        }
        let request = Request::Evict(slice(vec![(id(of), self.term(of))]));
        steps.push(Step::Ask { session, request });
        steps
    }
}

/// Nobody waits for so long.
fn slice<T>(of: Vec<T>) -> Slice<T> {
    let limit = Duration::from_secs(3600);
    Slice { of, limit }
}
