//! A request of the engine, done.

use std::time::Duration;

use super::{Caller, Instance, Pid, Postgres};
use crate::engine::{Answer, Instant, Refused, Request, Taken};

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) pid: Pid,
    pub(super) instance: Instance,
    pub(super) direct: bool,
    pub(super) lease: Duration,
    pub(super) silence_limit: Duration,
}

/// The answer was an error: the process ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal(pub(crate) &'static str);

/// Of one election of a slice it is the refusal of that one.
impl From<Refusal> for Refused {
    fn from(Refusal(why): Refusal) -> Refused {
        Refused {
            why: why.into(),
            no_room: false,
            taken: Taken::default(),
        }
    }
}

impl Postgres {
    /// Do a request of a session that [`Postgres::serves`]. Notifications and ends come as words.
    pub(crate) fn execute(
        &mut self,
        now: Instant,
        pid: Pid,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        if let Request::Campaign(tries) = request {
            let under_way = self.begin_campaign(now, pid, &tries.of)?;
            return self.finish_campaign(now, pid, under_way);
        }
        self.touch(now, pid);
        let asker = self.asker(pid)?;
        match request {
            Request::Join(joins) => self.join(&asker, &joins.of),
            Request::Campaign(_) | Request::Prove => Ok(Answer::Done),
            Request::TakeOffice(offices) => self.take_office(now, &asker, &offices.of),
            Request::Ready(terms) => Ok(self.ready(&asker, &terms.of)),
            Request::Heartbeat(elections) => self.heartbeat(now, elections),
            Request::Vacate(terms) => Ok(self.vacate(&asker, &terms.of)),
            Request::Release {
                leadership,
                succession,
                silence_limit,
            } => self.release(&asker, leadership, succession, *silence_limit),
            Request::Announce(elections) => Ok(self.announce(&asker, elections)),
            Request::Read(names) => Ok(self.read(now, &asker, &names.of)),
            Request::Leave(elections) => Ok(self.leave(&asker, &elections.of)),
            Request::BackendGone(terms) => Ok(self.backend_gone(&terms.of)),
            Request::Counters => Ok(Answer::Counters(self.counters)),
            Request::Evict(terms) => Ok(self.evict(now, &terms.of)),
            Request::EndFenced(elections) => Ok(self.end_fenced(pid, &elections.of)),
        }
    }

    pub(super) fn asker(&self, pid: Pid) -> Result<Asker, Refusal> {
        let caller = self
            .caller(pid)
            .ok_or(Refusal("there is no such session"))?;
        let Caller {
            instance,
            direct,
            lease,
            silence_limit,
        } = caller;
        Ok(Asker {
            pid,
            instance,
            direct,
            lease,
            silence_limit,
        })
    }

    /// The state of a backend changes: a statement begins or ends.
    pub(crate) fn touch(&mut self, now: Instant, pid: Pid) {
        if let Some(backend) = self.backends.get_mut(&pid) {
            backend.state_change = now;
        }
    }
}
