//! The Postgres side: connect and prove, statements, the driver thread.

mod connect;
mod conninfo;
mod driver;
mod environment;
mod options;
mod pairs;
mod prove;
mod publish;
mod queries;
mod socket;
mod statements;
mod tls;
mod work;

pub(crate) use driver::{Candidate, Command, spawn};
pub(crate) use work::{BoxError, Lead};
