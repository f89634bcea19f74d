//! The Postgres side: connect and prove, statements, the driver thread.

pub(crate) mod aside;
mod cancel_key;
pub(crate) mod connect;
mod conninfo;
mod driver;
mod environment;
pub(crate) mod facts;
pub(crate) mod hands;
pub(crate) mod hosts;
pub(crate) mod log;
mod notices;
pub(crate) mod operations;
mod options;
mod pairs;
mod panics;
mod pooler;
mod prove;
mod queries;
mod rivals;
mod socket;
mod statements;
mod tls;
mod watch;
mod work;

pub(crate) use conninfo::{Trust, holds_password};
pub(crate) use driver::{Candidate, Command, spawn};
pub(crate) use work::{
    BoxError, Guard, Lead, Panic, Receiver, discard, panicked, spawn as spawn_child,
    spawn_blocking as spawn_blocking_child,
};
