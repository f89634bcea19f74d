//! From the names that both sides have alike to the numbers of one side, and back.

use std::collections::HashMap;
use std::sync::Arc;

use super::differs;
use super::step::{BLOCK, election, id};
use crate::engine::{
    Answer, Bid, Campaigned, Counters, FencedEnded, Found, Heard, Held, Id, Join, Joined, Office,
    Request, Slice, StepDown, TakeOffice, Told, Try, Vacate, Won,
};
use crate::tells::{begun, done};

/// What one side calls sessions, elections and terms.
#[derive(Debug)]
pub(super) struct Names {
    /// Elections are called so before their number.
    prefix: String,
    ids: HashMap<usize, i32>,
    /// Of each election its terms, in the order in which they began.
    terms: HashMap<usize, Vec<u64>>,
    sessions: HashMap<i32, usize>,
    /// What the counters showed when they were last begun anew.
    zero: Counters,
    resets: HashMap<i64, i64>,
    /// When the backend that leads was last seen to change its state.
    marks: HashMap<i32, i64>,
}

impl Names {
    pub(super) fn new(prefix: String, zero: Counters) -> Names {
        Names {
            prefix,
            ids: HashMap::new(),
            terms: HashMap::new(),
            sessions: HashMap::new(),
            resets: HashMap::from([(zero.reset, 0)]),
            zero,
            marks: HashMap::new(),
        }
    }

    pub(super) fn election(&self, number: usize) -> Arc<str> {
        format!("{}{number}", self.prefix).into()
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        name.strip_prefix(&self.prefix)?.parse().ok()
    }

    pub(super) fn opened(&mut self, pid: i32, session: usize) {
        self.sessions.insert(pid, session);
        self.marks.remove(&pid);
    }

    pub(super) fn session(&self, pid: i32) -> Option<usize> {
        self.sessions.get(&pid).copied()
    }

    /// The counters begin anew.
    pub(super) fn counters_from(&mut self, zero: Counters, reset: i64) {
        self.resets.insert(zero.reset, reset);
        self.zero = zero;
    }

    /// How often they did.
    pub(super) fn resets(&self) -> i64 {
        self.resets.values().copied().max().unwrap_or(0)
    }

    // To one side ------------------------------------------------------------------------------------------------

    /// `None`: it is about an election that nobody has joined.
    pub(super) fn request(&self, request: &Request) -> Option<Request> {
        let ids = |ids: &[Id]| ids.iter().map(|id| self.id(*id)).collect_all();
        let terms = |slice: &Slice<(Id, u64)>| {
            each_of(slice, |(id, term)| {
                Some((self.id(*id)?, self.term(*id, *term)))
            })
        };
        Some(match request {
            Request::Join(joins) => {
                let join = |join: &Join| {
                    let number = join.name.parse().ok()?;
                    Some(Join {
                        name: self.election(number),
                        heard: self.heard(id(number), join.heard),
                        ..join.clone()
                    })
                };
                Request::Join(each_of(joins, join)?)
            }
            Request::Campaign(bids) => {
                let bid = |bid: &Bid| {
                    Some(Bid {
                        election: self.id(bid.election)?,
                        heard: self.heard(bid.election, bid.heard),
                        ..bid.clone()
                    })
                };
                Request::Campaign(each_of(bids, bid)?)
            }
            Request::TakeOffice(offices) => {
                let office = |office: &TakeOffice| self.take_office(office);
                Request::TakeOffice(each_of(offices, office)?)
            }
            Request::Vacate(vacates) => {
                let vacate = |vacate: &Vacate| self.vacate(vacate);
                Request::Vacate(each_of(vacates, vacate)?)
            }
            Request::Release {
                leadership,
                succession,
                silence_limit,
            } => Request::Release {
                leadership: ids(leadership)?,
                succession: ids(succession)?,
                silence_limit: *silence_limit,
            },
            Request::Ready(of) => Request::Ready(terms(of)?),
            Request::BackendGone(of) => Request::BackendGone(terms(of)?),
            Request::Evict(of) => Request::Evict(terms(of)?),
            Request::Heartbeat(of) => Request::Heartbeat(ids(of)?),
            Request::Announce(of) => Request::Announce(ids(of)?),
            Request::Leave(of) => Request::Leave(each_of(of, |id| self.id(*id))?),
            Request::EndFenced(of) => Request::EndFenced(each_of(of, |id| self.id(*id))?),
            Request::Read(names) => {
                let name = |name: &Arc<str>| Some(self.election(name.parse().ok()?));
                Request::Read(each_of(names, name)?)
            }
            Request::Prove => Request::Prove,
            Request::Counters => Request::Counters,
        })
    }

    fn take_office(&self, office: &TakeOffice) -> Option<TakeOffice> {
        Some(TakeOffice {
            election: self.id(office.election)?,
            heard: self.heard(office.election, office.heard),
            ..office.clone()
        })
    }

    fn vacate(&self, vacate: &Vacate) -> Option<Vacate> {
        Some(Vacate {
            election: self.id(vacate.election)?,
            term: self.term(vacate.election, vacate.term),
            ..vacate.clone()
        })
    }

    pub(super) fn id(&self, of: Id) -> Option<Id> {
        self.ids.get(&election(of)).copied().map(Id)
    }

    /// The number of a term that has begun here; any other one is the same everywhere.
    pub(super) fn term(&self, of: Id, term: u64) -> u64 {
        let begun = self.terms.get(&election(of));
        let mut begun = begun.into_iter().flatten().enumerate();
        let found = begun.find(|(index, own)| alike(*index, **own) == term);
        found.map_or(term, |(_, own)| *own)
    }

    fn heard(&self, of: Id, heard: Heard) -> Heard {
        Heard {
            term: self.term(of, heard.term),
            ..heard
        }
    }

    // And back ---------------------------------------------------------------------------------------------------

    /// `None`: it tells of what this side has not.
    pub(super) fn answer(&mut self, answer: Answer) -> Option<Answer> {
        self.learn(&answer)?;
        let answer = self.alike(answer)?;
        Some(differs::without(answer))
    }

    /// The ids and the terms that it gives out.
    fn learn(&mut self, answer: &Answer) -> Option<()> {
        if let Answer::Joined(joined) = answer {
            for (name, joined) in done(joined) {
                let number = self.number(name)?;
                self.ids.insert(number, joined.election.0);
            }
        }
        for (election, term) in begun(answer) {
            self.began(election, term)?;
        }
        Some(())
    }

    fn began(&mut self, election: Id, term: u64) -> Option<()> {
        let number = self.of(election)?;
        self.terms.entry(number).or_default().push(term);
        Some(())
    }

    fn of(&self, own: Id) -> Option<usize> {
        let mut ids = self.ids.iter();
        ids.find(|(_, id)| **id == own.0).map(|(number, _)| *number)
    }

    fn id_alike(&self, own: Id) -> Option<Id> {
        self.of(own).map(id)
    }

    fn term_alike(&self, own: Id, term: u64) -> Option<u64> {
        let begun = self.terms.get(&self.of(own)?);
        let mut begun = begun.into_iter().flatten();
        let index = begun.position(|begun| *begun == term);
        Some(index.map_or(term, |index| alike(index, term)))
    }

    fn heard_alike(&self, own: Id, heard: Heard) -> Option<Heard> {
        Some(Heard {
            term: self.term_alike(own, heard.term)?,
            ..heard
        })
    }

    /// Of an unknown one its own number, which is no session's.
    fn pid_alike(&self, pid: i32) -> i32 {
        let session = self.sessions.get(&pid);
        session.map_or(pid, |session| i32::try_from(*session).unwrap_or(i32::MAX))
    }

    fn counters_alike(&self, counters: Counters) -> Counters {
        Counters {
            killed: counters.killed - self.zero.killed,
            fatal: counters.fatal - self.zero.fatal,
            reset: self
                .resets
                .get(&counters.reset)
                .copied()
                .unwrap_or(counters.reset),
        }
    }

    /// Whether it is as when it was last looked at.
    fn mark_alike(&self, pid: Option<i32>, mark: Option<i64>) -> Option<i64> {
        let (pid, mark) = pid.zip(mark)?;
        Some(i64::from(self.marks.get(&pid) == Some(&mark)))
    }

    fn alike(&mut self, answer: Answer) -> Option<Answer> {
        Some(match answer {
            Answer::Done => Answer::Done,
            Answer::Joined(joined) => {
                let joined = joined.into_iter().map(|(name, joined)| {
                    let name = self.number(&name)?.to_string().into();
                    let joined = told(joined, |joined| {
                        Some(Joined {
                            election: self.id_alike(joined.election)?,
                            heard: self.heard_alike(joined.election, joined.heard)?,
                        })
                    });
                    Some((name, joined?))
                });
                Answer::Joined(joined.collect_all()?)
            }
            Answer::Campaigned(tries) => {
                let seen = done(&tries).filter_map(|(_, tried)| match &tried.tried {
                    Try::Held(held) => held.holder_pid.zip(held.silent_since),
                    _ => None,
                });
                let seen: Vec<(i32, i64)> = seen.collect();
                let tries = tries.into_iter();
                let alike = tries
                    .map(|(own, tried)| {
                        let tried = told(tried, |tried| self.campaigned_alike(own, tried));
                        Some((self.id_alike(own)?, tried?))
                    })
                    .collect_all();
                self.marks.extend(seen);
                Answer::Campaigned(alike?)
            }
            Answer::Office(offices) => {
                let offices = offices.into_iter();
                let offices = offices.map(|(of, office)| self.office_alike(of, office));
                Answer::Office(offices.collect_all()?)
            }
            Answer::Asked(asked) => {
                let asked = asked.into_iter().map(|asked| {
                    Some(StepDown {
                        election: self.id_alike(asked.election)?,
                        term: self.term_alike(asked.election, asked.term)?,
                        asked: asked.asked,
                    })
                });
                Answer::Asked(asked.collect_all()?)
            }
            Answer::Vacated(vacated) => Answer::Vacated(self.each(vacated)?),
            Answer::Recorded(recorded) => Answer::Recorded(self.each(recorded)?),
            Answer::Left(left) => Answer::Left(self.each(left)?),
            Answer::Gone(gone) => Answer::Gone(self.each(gone)?),
            Answer::Evicted(evicted) => Answer::Evicted(self.each(evicted)?),
            Answer::Read(found) => {
                let found = found.into_iter();
                let found = found.map(|(name, found)| self.found_alike(&name, found));
                Answer::Read(found.collect_all()?)
            }
            Answer::Counters(counters) => Answer::Counters(self.counters_alike(counters)),
            Answer::FencedEnded(ended) => {
                let ended = self.each(ended)?.into_iter().map(|(election, ended)| {
                    let ended = ended.map(|ended| FencedEnded {
                        who: ended.who.map(|_| "somebody".into()),
                        ..ended
                    });
                    (election, ended)
                });
                Answer::FencedEnded(ended.collect())
            }
        })
    }

    fn office_alike(&self, own: Id, office: Told<Office>) -> Option<(Id, Told<Office>)> {
        let office = told(office, |office| {
            Some(match office {
                Office::Began { term, token } => Office::Began {
                    term: self.term_alike(own, term)?,
                    token,
                },
                Office::Waiting { elsewhere, heard } => Office::Waiting {
                    elsewhere,
                    heard: self.heard_alike(own, heard)?,
                },
                other => other,
            })
        });
        Some((self.id_alike(own)?, office?))
    }

    fn found_alike(
        &self,
        name: &str,
        found: Told<Option<Found>>,
    ) -> Option<(Arc<str>, Told<Option<Found>>)> {
        let number = self.number(name)?;
        let found = told(found, |found| {
            let Some(Found { mut row, mut view }) = found else {
                return Some(None);
            };
            let own = Id(*self.ids.get(&number)?);
            row.term = self.term_alike(own, row.term)?;
            view.term = self.term_alike(own, view.term)?;
            Some(Some(Found { row, view }))
        });
        Some((number.to_string().into(), found?))
    }

    fn each<T>(&self, of: Vec<(Id, T)>) -> Option<Vec<(Id, T)>> {
        let each = of.into_iter();
        let each = each.map(|(election, told)| Some((self.id_alike(election)?, told)));
        each.collect()
    }

    fn campaigned_alike(&self, own: Id, tried: Campaigned) -> Option<Campaigned> {
        let mut row = tried.row;
        row.term = self.term_alike(own, row.term)?;
        let tried = match tried.tried {
            Try::Began { term, token } => Try::Began {
                term: self.term_alike(own, term)?,
                token,
            },
            Try::Won(won) => Try::Won(Won {
                last_term: self.term_alike(own, won.last_term)?,
                last_pid: won.last_pid.map(|pid| self.pid_alike(pid)),
                heard: self.heard_alike(own, won.heard)?,
                watched: won.watched.map(|counters| self.counters_alike(counters)),
                ..won
            }),
            Try::Fenced { last_term, lease } => Try::Fenced {
                last_term: self.term_alike(own, last_term)?,
                lease,
            },
            Try::Held(held) => Try::Held(Held {
                term: self.term_alike(own, held.term)?,
                silent_since: self.mark_alike(held.holder_pid, held.silent_since),
                leader_pid: held.leader_pid.map(|pid| self.pid_alike(pid)),
                holder_pid: held.holder_pid.map(|pid| self.pid_alike(pid)),
                stranger: held.stranger.map(|_| "somebody".into()),
                counters: self.counters_alike(held.counters),
                ..held
            }),
        };
        Some(Campaigned { tried, row })
    }
}

impl Names {
    /// Whether a term has begun here whose number says when it was given out, and by chance also that candidates are to
    /// be forgotten: every twentieth number does. The other side's does not.
    pub(super) fn forgets_by_chance(&self) -> bool {
        let mut begun = self.terms.values().flatten();
        begun.any(|term| *term >= BLOCK && term.is_multiple_of(20))
    }
}

/// How both sides call the term that was begun after so many others: by its number on the first timeline, and else by
/// its block and order. A first number of a later block says when it was given out.
fn alike(index: usize, term: u64) -> u64 {
    match term / BLOCK {
        0 => term,
        block => block * BLOCK + index as u64 + 1,
    }
}

/// The same of each.
fn each_of<T>(slice: &Slice<T>, alike: impl Fn(&T) -> Option<T>) -> Option<Slice<T>> {
    let of = slice.of.iter().map(alike).collect::<Option<_>>()?;
    let limit = slice.limit;
    Some(Slice { of, limit })
}

/// A refusal says nothing of either side.
fn told<T, U>(outcome: Told<T>, alike: impl FnOnce(T) -> Option<U>) -> Option<Told<U>> {
    match outcome {
        Ok(it) => Some(Ok(alike(it)?)),
        Err(refused) => Some(Err(refused)),
    }
}

/// All, or none.
trait CollectAll<T> {
    fn collect_all(self) -> Option<Vec<T>>;
}

impl<T, I: Iterator<Item = Option<T>>> CollectAll<T> for I {
    fn collect_all(self) -> Option<Vec<T>> {
        self.collect()
    }
}
