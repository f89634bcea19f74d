//! From a query of the rules to the request of the server, and from its answer back to the rules: keys are ids there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::desk::Desks;
use super::{
    Answer, Bid, Campaigned, Ending, Evicted, FencedEnded, Found, Heard, Id, Join, Joined, Key,
    Notice, Office, Query, Refused, Reply, Request, Row, Slice, StepDown, TakeOffice, Told, Try,
    Vacate,
};

/// What an answer brings to the rules, what it shows of elections beside, and what is to be said of it.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) reply: Reply,
    pub(super) rows: Vec<(Key, Option<Row>)>,
    pub(super) refused: Vec<(Key, Refused)>,
    pub(super) unreached: Vec<Key>,
    pub(super) said: Vec<Notice>,
}

impl From<Reply> for Brought {
    fn from(reply: Reply) -> Brought {
        Brought {
            reply,
            rows: vec![],
            refused: vec![],
            unreached: vec![],
            said: vec![],
        }
    }
}

/// What a slice brings, election by election.
struct Sorted<T> {
    done: Vec<(Key, T)>,
    refused: Vec<(Key, Refused)>,
    unreached: Vec<Key>,
}

/// Whom a query is about, by what the server calls them.
struct Named<N> {
    keys: BTreeMap<N, Key>,
    /// Some were forgotten since it was asked, and it is not known any more what they were called.
    forgotten: bool,
}

impl<N: Ord> Named<N> {
    fn of(named: impl Iterator<Item = (Key, Option<N>)>) -> Named<N> {
        let (mut keys, mut forgotten) = (BTreeMap::new(), false);
        for (key, name) in named {
            match name {
                Some(name) => drop(keys.insert(name, key)),
                None => forgotten = true,
            }
        }
        Named { keys, forgotten }
    }

    /// Whom the server means, if it is not forgotten. None where nobody of that name was asked for.
    fn find(&self, name: &N) -> Option<Option<Key>> {
        let key = self.keys.get(name).copied();
        (key.is_some() || self.forgotten).then_some(key)
    }
}

impl<T> Sorted<T> {
    /// None where somebody is answered who was not asked for, or twice; or nobody: the server does one at least.
    fn of<N: Ord>(mut asked: Named<N>, all: Vec<(N, Told<T>)>) -> Option<Sorted<T>> {
        if all.is_empty() && !asked.keys.is_empty() {
            return None;
        }
        let (mut done, mut refused) = (vec![], vec![]);
        for (name, outcome) in all {
            let Some(key) = asked.find(&name)? else {
                continue;
            };
            asked.keys.remove(&name);
            match outcome {
                Ok(it) => done.push((key, it)),
                Err(why) => refused.push((key, why)),
            }
        }
        let unreached = asked.keys.into_values().collect();
        Some(Sorted {
            done,
            refused,
            unreached,
        })
    }

    fn bring(self, reply: impl FnOnce(Vec<(Key, T)>) -> Reply) -> Brought {
        Brought {
            refused: self.refused,
            unreached: self.unreached,
            ..reply(self.done).into()
        }
    }
}

impl Desks {
    pub(super) fn id(&self, key: Key) -> Option<Id> {
        self.get(key)?.id
    }

    fn ids(&self, keys: &[Key]) -> Option<Vec<Id>> {
        let ids = keys.iter().map(|key| self.id(*key));
        let mut ids = ids.collect::<Option<Vec<Id>>>()?;
        ids.sort_unstable();
        Some(ids)
    }

    /// None where it is about an election that was never joined. `limit`: that of a slice.
    pub(super) fn request(&self, query: &Query, limit: Duration) -> Option<Request> {
        Some(match query {
            Query::Join { joins } => Request::Join(slice(self.joins(joins)?, limit)),
            Query::Campaign { .. } => Request::Campaign(slice(self.bids(query)?, limit)),
            Query::TakeOffice { takes } => {
                let take = |(key, taking): &(Key, super::Taking)| {
                    Some(TakeOffice {
                        election: self.id(*key)?,
                        waited: taking.waited,
                        elsewhere: taking.elsewhere,
                        heard: taking.heard,
                    })
                };
                let mut takes: Vec<_> = takes.iter().map(take).collect::<Option<_>>()?;
                takes.sort_by_key(|take| take.election);
                Request::TakeOffice(slice(takes, limit))
            }
            Query::Ready { terms } => Request::Ready(self.terms(terms, limit)?),
            Query::Prove => Request::Prove,
            Query::Heartbeat { keys } => Request::Heartbeat(self.ids(keys)?),
            Query::Vacate { terms } => {
                let vacates = terms.iter().map(|vacate| self.vacate(*vacate));
                let mut vacates: Vec<_> = vacates.collect::<Option<_>>()?;
                vacates.sort_by_key(|vacate| vacate.election);
                Request::Vacate(slice(vacates, limit))
            }
            Query::Release {
                leadership,
                succession,
                silence_limit,
            } => Request::Release {
                leadership: self.ids(leadership)?,
                succession: self.ids(succession)?,
                silence_limit: *silence_limit,
            },
            Query::Announce { keys } => Request::Announce(self.ids(keys)?),
            Query::Read { keys } => {
                let names = keys.iter().filter_map(|key| self.get(*key));
                let names = names.map(|desk| Arc::clone(&desk.election));
                let names: BTreeSet<Arc<str>> = names.collect();
                Request::Read(slice(names.into_iter().collect(), limit))
            }
            Query::Leave { keys } => Request::Leave(slice(self.ids(keys)?, limit)),
            Query::BackendGone { terms } => Request::BackendGone(self.terms(terms, limit)?),
            Query::Counters { .. } => Request::Counters,
            Query::Evict { terms } => Request::Evict(self.terms(terms, limit)?),
            Query::EndFenced { keys } => Request::EndFenced(slice(self.ids(keys)?, limit)),
        })
    }

    /// By their names: they may have no id yet.
    fn joins(&self, joins: &[(Key, Heard)]) -> Option<Vec<Join>> {
        let join = |&(key, heard): &(Key, Heard)| {
            let candidature = self.get(key)?.candidature.as_ref()?;
            Some(Join {
                name: Arc::clone(&candidature.election),
                address: Arc::clone(&candidature.address),
                priority: candidature.priority,
                heard,
            })
        };
        let mut joins: Vec<Join> = joins.iter().map(join).collect::<Option<_>>()?;
        joins.sort_by(|one, other| one.name.cmp(&other.name));
        Some(joins)
    }

    fn terms(&self, terms: &[(Key, u64)], limit: Duration) -> Option<Slice<(Id, u64)>> {
        let terms = terms
            .iter()
            .map(|(key, term)| Some((self.id(*key)?, *term)));
        let mut terms: Vec<(Id, u64)> = terms.collect::<Option<_>>()?;
        terms.sort_unstable();
        Some(slice(terms, limit))
    }

    fn vacate(&self, (key, term, ending): (Key, u64, Ending)) -> Option<Vacate> {
        let asked = self.get(key)?.asked.as_ref();
        let asked = asked
            .filter(|(of, _)| ending == Ending::SteppedDown && *of == term)
            .map(|(_, asked)| asked.clone());
        Some(Vacate {
            election: self.id(key)?,
            term,
            ending,
            asked,
        })
    }

    fn bids(&self, query: &Query) -> Option<Vec<Bid>> {
        let Query::Campaign {
            keys,
            successor_of,
            overdue,
            heard,
        } = query
        else {
            return None;
        };
        let heard: BTreeMap<Key, Heard> = heard.iter().copied().collect();
        let successor_of: BTreeSet<&Key> = successor_of.iter().collect();
        let overdue: BTreeSet<&Key> = overdue.iter().collect();
        let bid = |key: &Key| {
            Some(Bid {
                election: self.id(*key)?,
                successor: successor_of.contains(key),
                overdue: overdue.contains(key),
                heard: heard.get(key).copied().unwrap_or_default(),
            })
        };
        let mut bids: Vec<Bid> = keys.iter().map(bid).collect::<Option<_>>()?;
        bids.sort_by_key(|bid| bid.election);
        Some(bids)
    }

    /// What an answer brings, noted where it must outlive the rules. None where the answer does not fit the query.
    pub(super) fn brought(&mut self, query: &Query, answer: Answer) -> Option<Brought> {
        Some(match (query, answer) {
            (Query::Join { joins }, Answer::Joined(all)) => return self.joined(joins, all),
            (Query::Campaign { keys, .. }, Answer::Campaigned(all)) => {
                return self.campaigned(keys, all);
            }
            (Query::TakeOffice { takes }, Answer::Office(all)) => {
                let keys = takes.iter().map(|(key, _)| *key);
                let offices = Sorted::of(self.keys_of(keys), all)?;
                for (key, office) in &offices.done {
                    if let Office::Began { term, token } = office {
                        self.get_mut(*key)?.begun(*term, token);
                    }
                }
                offices.bring(|offices| Reply::Office { offices })
            }
            (Query::Ready { terms }, Answer::Recorded(all)) => {
                let recorded = Sorted::of(self.keys_of(keys(terms)), all)?;
                recorded.bring(|recorded| Reply::Recorded { recorded })
            }
            (Query::Prove, Answer::Done) => Reply::Heartbeat { step_downs: vec![] }.into(),
            (Query::Heartbeat { keys }, Answer::Asked(all)) => self.asked(keys, all)?.into(),
            (Query::Vacate { terms }, Answer::Vacated(all)) => self.vacated(terms, all)?,
            (Query::Read { keys }, Answer::Read(found)) => return self.read(keys, found),
            (Query::Leave { keys }, Answer::Left(all)) => {
                let left = Sorted::of(self.keys_of(keys.iter().copied()), all)?;
                left.bring(|left| Reply::Left {
                    keys: left.into_iter().map(|(key, ())| key).collect(),
                })
            }
            (Query::BackendGone { terms }, Answer::Gone(all)) => {
                let gone = Sorted::of(self.keys_of(keys(terms)), all)?;
                gone.bring(|gone| Reply::BackendGone { gone })
            }
            (Query::Counters { keys }, Answer::Counters(counters)) => {
                let keys = keys.clone();
                Reply::Counters { keys, counters }.into()
            }
            (Query::Evict { terms }, Answer::Evicted(all)) => return self.evicted(terms, all),
            (Query::EndFenced { keys }, Answer::FencedEnded(all)) => {
                return self.fenced_ended(keys, all);
            }
            (Query::Release { .. }, Answer::Done) => Reply::Done.into(),
            (Query::Announce { .. }, Answer::Done) => Reply::Announced.into(),
            _ => return None,
        })
    }

    fn keys_of(&self, keys: impl Iterator<Item = Key>) -> Named<Id> {
        Named::of(keys.map(|key| (key, self.id(key))))
    }

    fn elections_of(&self, keys: impl Iterator<Item = Key>) -> Named<Arc<str>> {
        let election = |key| Some(Arc::clone(&self.get(key)?.election));
        Named::of(keys.map(|key| (key, election(key))))
    }

    fn joined(
        &mut self,
        joins: &[(Key, Heard)],
        all: Vec<(Arc<str>, Told<Joined>)>,
    ) -> Option<Brought> {
        let joined = Sorted::of(self.elections_of(joins.iter().map(|(key, _)| *key)), all)?;
        for (key, joined) in &joined.done {
            self.get_mut(*key)?.id = Some(joined.election);
        }
        Some(joined.bring(|joined| {
            Reply::Joined {
                joined: joined
                    .into_iter()
                    .map(|(key, joined)| (key, joined.heard))
                    .collect(),
            }
        }))
    }

    fn campaigned(&mut self, keys: &[Key], all: Vec<(Id, Told<Campaigned>)>) -> Option<Brought> {
        let campaigned = Sorted::of(self.keys_of(keys.iter().copied()), all)?;
        let (mut tries, mut rows) = (vec![], vec![]);
        for (key, Campaigned { tried, row }) in campaigned.done {
            if let Try::Began { term, token } = &tried {
                self.get_mut(key)?.begun(*term, token);
            }
            tries.push((key, tried));
            rows.push((key, Some(row)));
        }
        Some(Brought {
            rows,
            refused: campaigned.refused,
            unreached: campaigned.unreached,
            ..Reply::Campaigned { tries }.into()
        })
    }

    /// The first request of an operator is the one that ends the term.
    fn asked(&mut self, keys: &[Key], all: Vec<StepDown>) -> Option<Reply> {
        let ids = self.keys_of(keys.iter().copied());
        let mut step_downs = vec![];
        for StepDown {
            election,
            term,
            asked,
        } in all
        {
            let Some(key) = ids.find(&election)? else {
                continue;
            };
            let desk = self.get_mut(key)?;
            let noted = desk.asked.as_ref().is_some_and(|(of, _)| *of == term);
            // Its work may not have been started yet.
            if !noted && desk.running.is_none_or(|running| running == term) {
                desk.asked = Some((term, asked));
            }
            step_downs.push((key, term));
        }
        Some(Reply::Heartbeat { step_downs })
    }

    fn vacated(&self, terms: &[(Key, u64, Ending)], all: Vec<(Id, Told<bool>)>) -> Option<Brought> {
        let asked: BTreeMap<Key, u64> = terms.iter().map(|(key, term, _)| (*key, *term)).collect();
        let vacated = Sorted::of(self.keys_of(asked.keys().copied()), all)?;
        let of_term = |(key, done): (Key, bool)| Some((key, *asked.get(&key)?, done));
        Some(vacated.bring(|vacated| Reply::Vacated {
            vacated: vacated.into_iter().filter_map(of_term).collect(),
        }))
    }

    fn read(&self, keys: &[Key], found: Vec<(Arc<str>, Told<Option<Found>>)>) -> Option<Brought> {
        let read = Sorted::of(self.elections_of(keys.iter().copied()), found)?;
        let views = read.done.iter();
        let views = views.filter_map(|(key, found)| Some((*key, found.as_ref()?.view)));
        let views = views.collect();
        let rows = read.done.into_iter();
        let rows = rows.map(|(key, found)| (key, found.map(|found| found.row)));
        Some(Brought {
            rows: rows.collect(),
            refused: read.refused,
            unreached: read.unreached,
            ..Reply::Read { views }.into()
        })
    }

    fn evicted(&self, terms: &[(Key, u64)], all: Vec<(Id, Told<Evicted>)>) -> Option<Brought> {
        let asked: BTreeMap<Key, u64> = terms.iter().copied().collect();
        let evicted = Sorted::of(self.keys_of(keys(terms)), all)?;
        let mut said = vec![];
        for &(key, evicted) in &evicted.done {
            let pooled = evicted == Evicted::BehindPgpool;
            if let (Some(&term), false) = (asked.get(&key), evicted == Evicted::Done) {
                said.push(Notice::NotEvicted { key, term, pooled });
            }
        }
        Some(Brought {
            said,
            ..evicted.bring(|_| Reply::Evicted)
        })
    }

    /// Who is left is said when it changes.
    fn fenced_ended(&mut self, keys: &[Key], all: Vec<(Id, Told<FencedEnded>)>) -> Option<Brought> {
        let fenced = Sorted::of(self.keys_of(keys.iter().copied()), all)?;
        let (mut said, mut ended) = (vec![], vec![]);
        for (key, its) in fenced.done {
            let desk = self.get_mut(key)?;
            let known = std::mem::replace(&mut desk.in_the_way, its.who.clone());
            let news = its.who.filter(|who| known.as_ref() != Some(who));
            said.extend(news.map(|who| Notice::FencedRemain { key, who }));
            ended.push((key, its.ended, its.remaining));
        }
        Some(Brought {
            said,
            refused: fenced.refused,
            unreached: fenced.unreached,
            ..Reply::FencedEnded { ended }.into()
        })
    }
}

fn keys(terms: &[(Key, u64)]) -> impl Iterator<Item = Key> {
    terms.iter().map(|(key, _)| *key)
}

fn slice<T>(of: Vec<T>, limit: Duration) -> Slice<T> {
    Slice { of, limit }
}
