//! A query of the protocol, done.

use super::{Instance, Pid, Postgres, Rank};
use crate::engine::{Answer, Instant, Key, Query, Timings};

/// What a query needs to know beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) pid: Pid,
    pub(crate) instance: Instance,
    pub(crate) direct: bool,
    pub(crate) rank: Rank,
    pub(crate) timings: &'a Timings,
    /// The elections that its process follows or observes.
    pub(crate) follows: &'a [Key],
}

/// The answer was an error: the process ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal(pub(crate) &'static str);

impl Postgres {
    /// Do a query of a session that [`Postgres::serves`]. Notifications and ends come as words.
    pub(crate) fn execute(
        &mut self,
        now: Instant,
        asker: &Asker<'_>,
        query: &Query,
    ) -> Result<Answer, Refusal> {
        self.touch(now, asker.pid);
        Ok(match query {
            Query::Join { key, heard } => self.join(asker, *key, *heard),
            Query::Campaign {
                keys,
                successor_of,
                overdue,
                heard,
            } => {
                let campaign = self.campaign(now, asker, keys, successor_of, overdue, heard);
                self.finish_campaign(now, asker, campaign)
            }
            Query::TakeOffice {
                key,
                waited,
                elsewhere,
                heard,
            } => self.take_office(now, asker, *key, *waited, *elsewhere, *heard)?,
            Query::Ready { key, term } => self.ready(asker, *key, *term)?,
            Query::Prove => self.heartbeat(now, &[]),
            Query::Heartbeat { keys } => self.heartbeat(now, keys),
            Query::Vacate { key, term, ending } => self.vacate(asker, *key, *term, *ending),
            Query::Release {
                leadership,
                succession,
                silence_limit,
            } => self.release(asker, leadership, succession, *silence_limit)?,
            Query::Announce { keys } => self.announce(asker, keys),
            Query::Read => self.read(now, asker),
            Query::Leave { key } => self.leave(asker, *key),
            Query::BackendGone { key, term } => self.backend_gone(*key, *term),
            Query::Counters { key } => self.counters(*key),
            Query::Evict { key, term } => self.evict(*key, *term),
            Query::EndFenced { key } => self.end_fenced(*key),
        })
    }

    /// The state of a backend changes: a statement begins or ends.
    pub(crate) fn touch(&mut self, now: Instant, pid: Pid) {
        if let Some(backend) = self.backends.get_mut(&pid) {
            backend.state_change = now;
        }
    }
}
