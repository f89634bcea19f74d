//! The primary server of the moment: its sessions, and what each has to do.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock::{Clock, Time};
use super::connection::Cid;
use super::flaw::Flaw;
use crate::engine::Request;
use crate::postgres::{Part, Pid, Postgres, Refusal, Tables, UnderWay};

/// So much longer does a statement take for each election that it is about, where they are few.
pub(super) const FOR_EACH_KEY: Duration = Duration::from_micros(100);

pub(super) struct Server {
    pub(super) postgres: Postgres,
    pub(super) clock: Clock,
    pub(super) for_each_key: Duration,
    pub(super) desks: BTreeMap<Pid, Desk>,
    /// No packet reaches it, and none comes from it.
    pub(super) unreachable: bool,
    pub(super) stalled_until: Time,
    pub(super) most_sessions: usize,
    pub(super) notifications: Notifications,
    /// What a standby has got so far.
    pub(super) standby: Tables,
    pub(super) strangers: Vec<Pid>,
    pub(super) executed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notifications {
    AtOnce,
    Late,
    Lost,
}

/// What a backend has to do.
pub(super) struct Desk {
    pub(super) cid: Cid,
    pub(super) host: usize,
    pub(super) life: u32,
    pub(super) requests: VecDeque<Request>,
    pub(super) under_way: Option<(Part, Option<Result<UnderWay, Refusal>>)>,
    pub(super) opening: bool,
    /// The client's end is closed: it ends when it next reads.
    pub(super) hung_up: bool,
    pub(super) idle_at: Time,
    pub(super) idle_number: u64,
}

impl Server {
    pub(super) fn new(clock: Clock, flaw: Option<Flaw>) -> Server {
        let postgres = Postgres::new(flaw.and_then(Flaw::of_postgres)).without_lagging();
        Server {
            standby: postgres.tables().clone(),
            postgres,
            clock,
            for_each_key: FOR_EACH_KEY,
            desks: BTreeMap::new(),
            unreachable: false,
            stalled_until: 0,
            most_sessions: usize::MAX,
            notifications: Notifications::AtOnce,
            strangers: vec![],
            executed: 0,
        }
    }
}
