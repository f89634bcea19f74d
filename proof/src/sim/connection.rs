//! A connection between a machine and the server, and what is under way on it.

use std::collections::{BTreeMap, VecDeque};

use super::clock::Time;
use crate::engine::{Answer, Key, Notification, Request};
use crate::postgres::{Pid, Refusal};

/// The number of a connection.
pub(super) type Cid = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

pub(super) struct Connection {
    pub(super) host: usize,
    pub(super) life: u32,
    pub(super) direct: bool,
    pub(super) pid: Option<Pid>,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
    pub(super) to_server: Lane,
    pub(super) to_client: Lane,
}

#[derive(Default)]
pub(super) struct Lane {
    pub(super) last: Time,
    pub(super) held: VecDeque<Packet>,
    /// Since when the oldest packet has been held.
    pub(super) held_since: Option<Time>,
}

pub(super) enum Packet {
    Startup,
    Request(Request),
    Opened,
    Refused,
    /// `told`: the terms that it tells of.
    Answer {
        answer: Result<Answer, Refusal>,
        told: Vec<(Key, u64)>,
    },
    Notification(Notification),
    /// The other end is closed: in order, or reset.
    Fin,
}

pub(super) type Connections = BTreeMap<Cid, Connection>;

impl Connection {
    /// The client's machine forgets it without a word.
    pub(super) fn vanish(&mut self) {
        self.client_open = false;
        self.to_server.held.clear();
        self.to_server.held_since = None;
    }

    pub(super) fn lane(&mut self, to: End) -> &mut Lane {
        match to {
            End::Server => &mut self.to_server,
            End::Client => &mut self.to_client,
        }
    }
}
