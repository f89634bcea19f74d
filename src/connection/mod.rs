//! From a connection string to a session that is proven fit.

mod addresses;
mod cancel_key;
mod conninfo;
mod denial;
mod endpoints;
mod environment;
pub(crate) mod fitness;
pub(crate) mod hosts;
mod open;
mod options;
mod parse;
mod pooler;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod sight;
pub(crate) mod socket;
mod startup;
mod tls;
mod wire;

pub(crate) use conninfo::{Trust, check, holds_password};
pub(crate) use endpoints::{Endpoints, trust};
pub(crate) use open::{Connection, connect, connect_and_say, connect_to_ask};
pub(crate) use wire::Wire;
