//! Where elections are watched: what the demo, the benchmarks, chaos and the tests share.
//!
//! A [`candidate`] is a process of its own that works where it leads. It writes down each step in a [`record`]; a
//! [`contest`] starts some of them, ends the leader's term in one way or another, and keeps a [`ledger`] of what they write;
//! the [`judge`] says who worked when, and whether two ever did at once.

pub mod candidate;
#[cfg(feature = "chaos")]
pub mod chaos;
pub mod contest;
#[cfg(feature = "ha")]
pub mod ha;
pub mod judge;
pub mod ledger;
#[cfg(feature = "pictures")]
pub mod pictures;
pub mod process;
pub mod proxy;
pub mod record;

/// Why something cannot be done, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a command of this package gives, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
