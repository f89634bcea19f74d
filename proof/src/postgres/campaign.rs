//! One try for being the successor of each election, and who is it, for the leadership.

use std::collections::BTreeMap;

use super::levers::Turn;
use super::{Asker, Flaw, Kind, Pid, Postgres, Refusal};
use crate::engine::{
    Answer, Bar, Bid, Campaigned, Counters, ElectionState, Held, Id, Instant, Row, Told, Try, Won,
};

/// A campaign, half done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnderWay {
    half: Half,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Half {
    /// The tries are to come.
    Sampled { seen: Seen, tries: Vec<Bid> },
    /// The wrong way round.
    Tried { tried: Vec<OfOne> },
}

/// What is told of one election.
type OfOne = (Id, Told<Campaigned>);

/// The counters, and then one look at the locks: what somebody else has is not tried for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    counters: Counters,
    holders: BTreeMap<i32, Pid>,
    successors: BTreeMap<i32, Pid>,
}

impl Seen {
    fn holder(&self, election: i32) -> Option<Pid> {
        self.holders.get(&election).copied()
    }

    fn is_free(&self, kind: Kind, election: i32, asker: Pid) -> bool {
        let holders = match kind {
            Kind::Succession => &self.successors,
            Kind::Leadership => &self.holders,
        };
        holders.get(&election).is_none_or(|pid| *pid == asker)
    }
}

impl UnderWay {
    /// The term that has begun in the first half already, where the server does things the wrong way round.
    pub(crate) fn begun(&self) -> Option<u64> {
        match &self.half {
            Half::Sampled { .. } => None,
            Half::Tried { tried } => tried.iter().find_map(|(_, tried)| match tried {
                Ok(Campaigned {
                    tried: Try::Began { term, .. },
                    ..
                }) => Some(*term),
                _ => None,
            }),
        }
    }
}

/// What came of a try for the locks of an election.
struct Tried<'a> {
    of: &'a Bid,
    is_successor: bool,
    turn: Option<Turn>,
}

impl Postgres {
    /// The first half: the counters are read.
    pub(crate) fn begin_campaign(
        &mut self,
        now: Instant,
        pid: Pid,
        tries: &[Bid],
    ) -> Result<UnderWay, Refusal> {
        self.touch(now, pid);
        let asker = self.asker(pid)?;
        let seen = self.seen(tries);
        let half = if self.has(Flaw::SampleAfterTry) {
            let tried = self.all_tries(now, &asker, seen, tries);
            Half::Tried { tried }
        } else {
            let tries = tries.to_vec();
            Half::Sampled { seen, tries }
        };
        Ok(UnderWay { half })
    }

    fn seen(&self, tries: &[Bid]) -> Seen {
        let holders = |kind: Kind| {
            let held = tries.iter().filter_map(|of| {
                let holder = self.locks.holder(kind, of.election.0);
                holder.map(|pid| (of.election.0, pid))
            });
            held.collect()
        };
        Seen {
            counters: self.counters,
            holders: holders(Kind::Leadership),
            successors: holders(Kind::Succession),
        }
    }

    /// The second half: the tries, and what holds those that failed.
    pub(crate) fn finish_campaign(
        &mut self,
        now: Instant,
        pid: Pid,
        under_way: UnderWay,
    ) -> Result<Answer, Refusal> {
        self.touch(now, pid);
        let asker = self.asker(pid)?;
        let tried = match under_way.half {
            Half::Sampled { seen, tries } => self.all_tries(now, &asker, seen, &tries),
            Half::Tried { mut tried } => {
                for (_, tried) in &mut tried {
                    if let Ok(Campaigned {
                        tried: Try::Held(held),
                        ..
                    }) = tried
                    {
                        held.counters = self.counters;
                    }
                }
                tried
            }
        };
        Ok(Answer::Campaigned(tried))
    }

    fn all_tries(&mut self, now: Instant, asker: &Asker, seen: Seen, tries: &[Bid]) -> Vec<OfOne> {
        let (mut all, mut held) = (vec![], vec![]);
        for of in tries {
            let before = self.save_if(!self.is_candidate(asker, of.election.0));
            let locks = before.is_some().then(|| self.locks.clone());
            let tried = self.try_locks(now, asker, of, &seen);
            if !tried.may_lead(of)
                || !seen.is_free(Kind::Leadership, of.election.0, asker.pid)
                || !self.lock(Kind::Leadership, of.election.0, asker.pid)
            {
                held.push(tried);
                continue;
            }
            self.limit_silence(asker.pid, asker.silence_limit);
            if tried.is_successor {
                self.locks
                    .unlock(Kind::Succession, of.election.0, asker.pid);
            }
            match self.won(asker, of, &seen) {
                Ok(won) => all.push((of.election, Ok(won))),
                // This session holds what it held before.
                Err(refusal) => {
                    self.locks = locks.unwrap_or_else(|| self.locks.clone());
                    let refused = self.roll_back(before, refusal).into();
                    all.push((of.election, Err(refused)));
                }
            }
        }
        let held = held
            .iter()
            .map(|tried| (tried.of.election, Ok(self.held(asker.pid, &seen, tried))));
        all.extend(held);
        all
    }

    /// One try for the successor's place, and whose turn it is.
    fn try_locks<'a>(
        &mut self,
        now: Instant,
        asker: &Asker,
        of: &'a Bid,
        seen: &Seen,
    ) -> Tried<'a> {
        let election = of.election.0;
        let mut turn = self.turn(now, asker.instance, election);
        let barred = |turn: Option<Turn>| matches!(turn, Some(Turn::Barred(_)));
        if !barred(turn) && self.outlook(election, of.heard).beyond {
            turn = Some(Turn::Barred(Bar::Beyond));
        }
        let mut is_successor = of.successor;
        if !is_successor && !barred(turn) {
            let outranked = turn == Some(Turn::Outranked);
            if !seen.is_free(Kind::Succession, election, asker.pid)
                || !self.lock(Kind::Succession, election, asker.pid)
            {
                // Whoever has the place makes way himself, where he must.
                turn = turn.filter(|_| !outranked);
            } else if outranked && !of.overdue {
                self.locks.unlock(Kind::Succession, election, asker.pid);
            } else {
                is_successor = true;
                self.limit_silence(asker.pid, asker.silence_limit);
            }
        }
        if of.overdue && turn == Some(Turn::Outranked) {
            turn = None;
        }
        Tried {
            of,
            is_successor,
            turn,
        }
    }

    fn lock(&mut self, kind: Kind, election: i32, pid: Pid) -> bool {
        let already = self.locks.holder(kind, election) == Some(pid);
        if already && self.has(Flaw::LocksDoNotStack) {
            return true;
        }
        self.locks.try_lock(kind, election, pid)
    }

    fn won(&mut self, asker: &Asker, of: &Bid, seen: &Seen) -> Result<Campaigned, Refusal> {
        let election = of.election.0;
        let outlook = self.outlook(election, of.heard);
        let last = self.tables.last(election).cloned();
        let vacant = Row {
            term: outlook.last,
            state: ElectionState::Vacant,
            ..Row::default()
        };
        let (tried, row) = if outlook.wait.is_zero() && outlook.elsewhere.is_zero() {
            match self.begin_term(asker, election, &outlook)? {
                Some((term, token)) => {
                    let its = &self.tables.elections[&election];
                    let row = Row {
                        term,
                        state: its.state,
                        address: its.address.clone(),
                        bar: None,
                    };
                    (Try::Began { term, token }, row)
                }
                None => {
                    let fenced = Try::Fenced {
                        last_term: outlook.last,
                        lease: last.map(|last| last.lease).unwrap_or_default(),
                    };
                    (fenced, vacant)
                }
            }
        } else {
            if let Some(row) = self.tables.elections.get_mut(&election) {
                row.state = ElectionState::Vacant;
                row.address = None;
                row.pid = None;
            }
            self.close_term(election, outlook.last);
            if outlook.known.term > outlook.last {
                self.keep_heard(election, asker.instance, outlook.known);
            }
            let won = Won {
                last_term: outlook.last,
                last_pid: last.as_ref().map(|last| last.pid),
                watched: (last.as_ref())
                    .filter(|last| seen.holder(election) == Some(last.pid))
                    .map(|_| seen.counters),
                direct: last.is_some_and(|last| last.direct),
                wait: outlook.wait,
                elsewhere: outlook.elsewhere,
                heard: outlook.known,
            };
            (Try::Won(won), vacant)
        };
        Ok(Campaigned { tried, row })
    }

    fn held(&self, asker: Pid, seen: &Seen, tried: &Tried<'_>) -> Campaigned {
        let election = tried.of.election.0;
        let its = &self.tables.elections[&election];
        let bar = tried.turn.and_then(Turn::bar);
        let holder_pid = seen.holder(election);
        let is_candidate = |pid: Pid| {
            let mut candidates = self.tables.candidates_of(election);
            candidates.any(|(_, row)| row.pid == pid)
        };
        let leads = holder_pid != its.pid
            && holder_pid.is_some_and(|pid| !is_candidate(pid) && self.backends.contains_key(&pid));
        let follows = self.stranger(Kind::Succession, election);
        let stranger = leads || follows.is_some_and(|pid| pid != asker);
        let leaders = holder_pid.filter(|_| holder_pid == its.pid);
        let backend = leaders.and_then(|pid| self.backends.get(&pid));
        let micros = |at: Instant| i64::try_from(at.as_nanos() / 1000).unwrap_or(i64::MAX);
        let held = Held {
            term: its.term,
            leader_pid: its.pid,
            holder_pid,
            lease: its.lease,
            stranger: stranger.then(|| "somebody".into()),
            successor: tried.is_successor,
            bar,
            silent_since: backend.map(|backend| micros(backend.state_change)),
            counters: seen.counters,
            watched: its.pid.is_some() && seen.holder(election) == its.pid,
        };
        Campaigned {
            tried: Try::Held(held),
            row: Row {
                term: its.term,
                state: its.state,
                address: its.address.clone(),
                bar,
            },
        }
    }
}

impl Tried<'_> {
    fn may_lead(&self, of: &Bid) -> bool {
        match self.turn {
            Some(turn) => turn == Turn::Called,
            None => self.is_successor || of.overdue,
        }
    }
}
