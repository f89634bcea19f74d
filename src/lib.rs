//! Leader election between processes that already share a PostgreSQL database.

mod protocol;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
