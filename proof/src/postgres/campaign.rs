//! One try for being the successor of each election, and who is it, for the leadership.

use std::collections::{BTreeMap, BTreeSet};

use super::levers::Turn;
use super::tables::State;
use super::{Asker, Flaw, Kind, Pid, Postgres};
use crate::engine::{Answer, Bar, Counters, Heard, Held, Instant, Key, Try, Won};

/// A campaign, half done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Campaign {
    half: Half,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Half {
    /// The tries are to come.
    Sampled {
        seen: Seen,
        keys: Vec<Key>,
        successor_of: Vec<Key>,
        overdue: Vec<Key>,
        heard: Vec<(Key, Heard)>,
    },
    /// The wrong way round.
    Tried { tries: Vec<(Key, Try)> },
}

/// The counters, and then who leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    counters: Counters,
    /// Of those whose successor the session is not.
    holders: BTreeMap<Key, Pid>,
}

impl Seen {
    fn holder(&self, key: Key) -> Option<Pid> {
        self.holders.get(&key).copied()
    }
}

impl Campaign {
    /// The term that has begun in the first half already, where the server does things the wrong way round.
    pub(crate) fn begun(&self) -> Option<u64> {
        match &self.half {
            Half::Sampled { .. } => None,
            Half::Tried { tries } => tries.iter().find_map(|(_, tried)| match tried {
                Try::Began { term } => Some(*term),
                _ => None,
            }),
        }
    }
}

impl Postgres {
    /// The first half: the counters are read.
    pub(crate) fn campaign(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        keys: &[Key],
        successor_of: &[Key],
        overdue: &[Key],
        heard: &[(Key, Heard)],
    ) -> Campaign {
        self.touch(now, asker.pid);
        let seen = self.seen(keys, successor_of);
        let half = if self.has(Flaw::SampleAfterTry) {
            let tries = self.tries(now, asker, seen, keys, successor_of, overdue, heard);
            Half::Tried { tries }
        } else {
            Half::Sampled {
                seen,
                keys: keys.to_vec(),
                successor_of: successor_of.to_vec(),
                overdue: overdue.to_vec(),
                heard: heard.to_vec(),
            }
        };
        Campaign { half }
    }

    fn seen(&self, keys: &[Key], successor_of: &[Key]) -> Seen {
        let is_heir_of: BTreeSet<&Key> = successor_of.iter().collect();
        let watched = keys.iter().filter(|key| !is_heir_of.contains(key));
        let holders = watched.filter_map(|key| {
            let holder = self.locks.holder(Kind::Leadership, key.0);
            holder.map(|pid| (*key, pid))
        });
        Seen {
            counters: self.counters,
            holders: holders.collect(),
        }
    }

    /// The second half: the tries, and what holds those that failed.
    pub(crate) fn finish_campaign(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        campaign: Campaign,
    ) -> Answer {
        self.touch(now, asker.pid);
        let tries = match campaign.half {
            Half::Sampled {
                seen,
                keys,
                successor_of,
                overdue,
                heard,
            } => self.tries(now, asker, seen, &keys, &successor_of, &overdue, &heard),
            Half::Tried { mut tries } => {
                for (_, tried) in &mut tries {
                    if let Try::Held(held) = tried {
                        held.counters = self.counters;
                    }
                }
                tries
            }
        };
        Answer::Campaigned { tries }
    }

    #[allow(clippy::too_many_arguments, reason = "they are those of the query")]
    fn tries(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        seen: Seen,
        keys: &[Key],
        successor_of: &[Key],
        overdue: &[Key],
        heard: &[(Key, Heard)],
    ) -> Vec<(Key, Try)> {
        let pid = asker.pid;
        let successor_of: BTreeSet<&Key> = successor_of.iter().collect();
        let overdue: BTreeSet<&Key> = overdue.iter().collect();
        let heard: BTreeMap<Key, Heard> = heard.iter().copied().collect();
        let mut tries = vec![];
        let mut held = vec![];
        for &key in keys {
            let overdue = overdue.contains(&key);
            let heard = heard.get(&key).copied().unwrap_or_default();
            let mut turn = self.turn(now, asker.instance, key);
            if turn.is_none_or(|turn| !matches!(turn, Turn::Barred(_)))
                && self.is_beyond(key.0, heard)
            {
                turn = Some(Turn::Barred(Bar::Beyond));
            }
            let mut is_heir = successor_of.contains(&key);
            if !is_heir && !matches!(turn, Some(Turn::Barred(_))) {
                let outranked = turn == Some(Turn::Outranked);
                if !self.locks.try_lock(Kind::Succession, key.0, pid) {
                    // Whoever has the place makes way himself, where he must.
                    turn = turn.filter(|_| !outranked);
                } else if outranked && !overdue {
                    self.locks.unlock(Kind::Succession, key.0, pid);
                } else {
                    is_heir = true;
                    self.limit_silence(pid, asker.timings.silence_limit);
                }
            }
            if overdue && turn == Some(Turn::Outranked) {
                turn = None;
            }
            let may_try = turn == Some(Turn::Called) || turn.is_none() && (is_heir || overdue);
            if may_try && self.locks.try_lock(Kind::Leadership, key.0, pid) {
                self.limit_silence(pid, asker.timings.silence_limit);
                if is_heir {
                    self.locks.unlock(Kind::Succession, key.0, pid);
                }
                tries.push((key, self.won(asker, key, heard, &seen)));
            } else {
                held.push((key, is_heir, turn));
            }
        }
        for (key, is_heir, turn) in held {
            let bar = match turn {
                Some(Turn::Barred(bar)) => Some(bar),
                Some(Turn::Outranked) => Some(Bar::Outranked),
                Some(Turn::Called) | None => None,
            };
            let held = Held {
                bar,
                ..self.held(&seen, key, is_heir)
            };
            tries.push((key, Try::Held(held)));
        }
        tries
    }

    fn won(&mut self, asker: &Asker<'_>, key: Key, heard: Heard, seen: &Seen) -> Try {
        let last_term = self.tables.elections.get(&key.0).map_or(0, |row| row.term);
        let last = self.tables.terms.get(&(key.0, last_term)).cloned();
        let wait = self.refractory_period(key.0, last_term);
        let elsewhere = self.elsewhere(key.0, heard);
        if wait.is_zero() && elsewhere.is_zero() {
            return match self.begin_term(asker, key.0, heard) {
                Some(term) => Try::Began { term },
                None => Try::Fenced {
                    last_term,
                    lease: last.map(|last| last.lease).unwrap_or_default(),
                },
            };
        }
        if let Some(row) = self.tables.elections.get_mut(&key.0) {
            row.state = State::Vacant;
            row.pid = None;
        }
        self.close_term(key.0, last_term);
        let heard = self.tell_known(asker, key.0, heard);
        Try::Won(Won {
            last_term,
            last_pid: last.as_ref().map(|last| last.pid),
            watched: (last.as_ref())
                .filter(|last| seen.holder(key) == Some(last.pid))
                .map(|_| seen.counters),
            direct: last.is_some_and(|last| last.direct),
            wait,
            elsewhere,
            heard,
        })
    }

    fn held(&self, seen: &Seen, key: Key, successor: bool) -> Held {
        let row = self
            .tables
            .elections
            .get(&key.0)
            .cloned()
            .unwrap_or_default();
        let holder_pid = self.locks.holder(Kind::Leadership, key.0);
        let is_candidate = |pid: Pid| {
            let mut candidates = self.tables.candidates_of(key.0);
            candidates.any(|(_, row)| row.pid == pid)
        };
        let stranger = holder_pid != row.pid && holder_pid.is_some_and(|pid| !is_candidate(pid));
        let leaders = holder_pid.filter(|_| holder_pid == row.pid);
        let backend = leaders.and_then(|pid| self.backends.get(&pid));
        let micros = |at: Instant| i64::try_from(at.as_nanos() / 1000).unwrap_or(i64::MAX);
        Held {
            term: row.term,
            leader_pid: row.pid,
            holder_pid,
            lease: row.lease,
            stranger,
            successor,
            bar: None,
            silent_since: backend.map(|backend| micros(backend.state_change)),
            counters: seen.counters,
            watched: row.pid.is_some() && seen.holder(key) == row.pid,
        }
    }
}
