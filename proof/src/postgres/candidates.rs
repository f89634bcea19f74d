//! Joining, leaving, reading and telling.

use super::tables::{Candidate, State};
use super::{Asker, Flaw, Kind, Pid, Postgres, Word};
use crate::engine::{Answer, Heard, Instant, Key, View};

impl Postgres {
    pub(super) fn join(&mut self, asker: &Asker<'_>, key: Key, heard: Heard) -> Answer {
        self.tables.elections.entry(key.0).or_default();
        let heard = match self.has(Flaw::HeardNotRecorded) {
            true => Heard::default(),
            false => heard,
        };
        let candidate = Candidate {
            rank: asker.rank,
            lease: asker.timings.lease,
            pid: asker.pid,
            heard,
        };
        let place = (key.0, asker.instance);
        let before = self.tables.candidates.get(&place).cloned();
        // What an earlier session of the process still has under way changes nothing of the later one's row.
        let later = |row: &Candidate| row.pid > asker.pid && self.backends.contains_key(&row.pid);
        if !before.as_ref().is_some_and(later) {
            self.tables.candidates.insert(place, candidate);
        }
        if let Some(before) = before
            && let Some(row) = self.tables.candidates.get_mut(&place)
            && before.heard.term > row.heard.term
        {
            row.heard = before.heard;
        }
        let known = self.tell_known(asker, key.0, heard);
        let heard = Heard {
            term: known.term.max(self.floor(key.0)),
            lease: known.lease.max(self.longest_lease(key.0)),
        };
        Answer::Joined { key, heard }
    }

    pub(super) fn leave(&mut self, asker: &Asker<'_>, key: Key) -> Answer {
        let place = (key.0, asker.instance);
        let last = self.tables.newest_term(key.0).unwrap_or_default();
        if let Some(row) = self.tables.candidates.get_mut(&place)
            && row.pid == asker.pid
        {
            // What this server does not know of stays until the next term.
            if row.heard.term > last {
                row.pid = 0;
            } else {
                self.tables.candidates.remove(&place);
            }
        }
        Answer::Left { key }
    }

    /// A leader on record whose session is gone does not lead.
    pub(super) fn read(&self, now: Instant, asker: &Asker<'_>) -> Answer {
        let view = |key: &Key| {
            let row = self.tables.elections.get(&key.0)?;
            let holder = self.locks.holder(Kind::Leadership, key.0);
            let leads = holder.is_some() && holder == row.pid && row.state != State::Vacant;
            let view = View {
                term: row.term,
                lease: row.lease,
                vacant: !leads,
                bar: None,
                called: false,
            };
            Some((*key, self.with_turn(now, asker.instance, *key, view)))
        };
        Answer::Read {
            views: asker.follows.iter().filter_map(view).collect(),
        }
    }

    /// A notification for every other session.
    pub(super) fn announce(&mut self, asker: &Asker<'_>, keys: &[Key]) -> Answer {
        for (&pid, backend) in &self.backends {
            if pid != asker.pid && backend.ending.is_none() {
                let keys = keys.to_vec();
                self.words.push((pid, Word::Notification { keys }));
            }
        }
        Answer::Done
    }

    pub(super) fn heartbeat(&self, now: Instant, keys: &[Key]) -> Answer {
        let asked = self.tables.step_downs.iter();
        let ours = asked.filter(|(election, _)| keys.contains(&Key(*election)));
        let step_downs = ours.map(|&(election, term)| (Key(election), term));
        let others = keys.iter();
        let others = others.filter_map(|key| Some((*key, self.must_end(now, key.0)?)));
        Answer::Heartbeat {
            step_downs: step_downs.chain(others).collect(),
        }
    }

    /// An operator wants the leader to end its term in order. False when nobody leads.
    pub(crate) fn step_down(&mut self, election: u32) -> bool {
        let row = self.tables.elections.get(&election);
        let Some(row) = row.filter(|row| self.up && row.state != State::Vacant) else {
            return false;
        };
        self.tables.step_downs.insert((election, row.term));
        let keys = vec![Key(election)];
        for (&pid, backend) in &self.backends {
            if backend.ending.is_none() {
                let keys = keys.clone();
                self.words.push((pid, Word::Notification { keys }));
            }
        }
        true
    }

    /// Who holds a lock of an election.
    pub(crate) fn holder(&self, kind: Kind, election: u32) -> Option<Pid> {
        self.locks.holder(kind, election)
    }

    /// Somebody who is no candidate takes the leadership's lock, if it is free.
    pub(crate) fn take_lock(&mut self, election: u32, pid: Pid) -> bool {
        self.serves(pid) && self.locks.try_lock(Kind::Leadership, election, pid)
    }

    /// The same for the successor's lock.
    pub(crate) fn take_place(&mut self, election: u32, pid: Pid) -> bool {
        self.serves(pid) && self.locks.try_lock(Kind::Succession, election, pid)
    }
}
