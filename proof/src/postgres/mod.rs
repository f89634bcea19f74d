//! A pretend PostgreSQL with the schema pgleader: what the candidates of one database can tell of it.
//!
//! Passive and deterministic. Whoever drives it brings the time along, decides when a statement runs, when
//! an ended backend takes its next step out, and carries [`Word`]s to the sessions. A [`Request`] of the engine is done
//! in one step, as SQL's functions are but for their reads at several moments; where that matters
//! ([`Postgres::begin_campaign`]) the two halves can be run apart. That it answers as the real one does is what
//! `cargo conformance` finds out.
//!
//! Simpler than the real one: a pid is given out once, so nobody needs to compare when backends began; every role
//! may see and end everything.
//!
//! [`Request`]: crate::engine::Request

mod autopsy;
mod backends;
mod campaign;
mod candidates;
mod ending;
mod execute;
mod failures;
mod fencing;
mod flaw;
mod levers;
mod locks;
mod office;
mod outlook;
mod part;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::backends::{Caller, Cause, Word};
pub(crate) use self::campaign::UnderWay;
pub(crate) use self::execute::Refusal;
pub(crate) use self::flaw::Flaw;
pub(crate) use self::levers::OPERATOR;
pub(crate) use self::locks::Kind;
pub(crate) use self::part::Part;
pub(crate) use self::tables::Tables;

use self::backends::Backend;
use self::execute::Asker;
use self::locks::Locks;
use crate::engine::Counters;

/// A secret of a process. It authorises a vacate.
pub(crate) type Instance = u64;
/// The number of a backend.
pub(crate) type Pid = i32;

/// The server, with one database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Postgres {
    up: bool,
    timeline: u64,
    /// How often a server has become the primary: what tells the time, as far as numbers of terms are concerned.
    promotions: u64,
    /// What the servers had that were replaced, the newest last.
    replaced: Vec<Tables>,
    next_pid: Pid,
    backends: BTreeMap<Pid, Backend>,
    locks: Locks,
    counters: Counters,
    tables: Tables,
    /// The tables before the last term began, where they are asked for: what an asynchronous standby may not have
    /// got beyond.
    lagging: Option<Box<Tables>>,
    fenced: BTreeSet<fencing::Fenced>,
    next_transaction: u64,
    /// Nobody can read what operators ask for.
    requests_locked: bool,
    words: Vec<(Pid, Word)>,
    flaw: Option<Flaw>,
}

impl Postgres {
    /// A server that is up, its tables empty, on timeline 1. `flaw` breaks one of its rules.
    pub(crate) fn new(flaw: Option<Flaw>) -> Self {
        Postgres {
            up: true,
            timeline: 1,
            promotions: 0,
            replaced: vec![],
            next_pid: 100,
            backends: BTreeMap::new(),
            locks: Locks::default(),
            counters: failures::FRESH,
            tables: Tables::default(),
            lagging: Some(Box::default()),
            fenced: BTreeSet::new(),
            next_transaction: 0,
            requests_locked: false,
            words: vec![],
            flaw,
        }
    }

    /// The same, whose lossy standbys are kept by somebody else: no [`Postgres::promote`] of them.
    pub(crate) fn without_lagging(self) -> Self {
        Postgres {
            lagging: None,
            ..self
        }
    }

    /// Whether it takes connections.
    pub(crate) fn is_up(&self) -> bool {
        self.up
    }

    /// What it has to say to its sessions since this was last asked, oldest first.
    pub(crate) fn take_words(&mut self) -> Vec<(Pid, Word)> {
        std::mem::take(&mut self.words)
    }

    /// What it has on disk.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}
