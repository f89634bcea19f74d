#![doc = include_str!("../README.md")]

mod campaign;
mod candidacy;
mod config;
mod connection;
pub mod doctor;
mod driver;
mod elector;
mod engine;
mod error;
mod fence;
mod foreign;

mod observer;
pub mod operator;
mod platform;
mod process_state;
mod roster;
#[cfg(feature = "serde")]
mod serde_types;
mod session;
mod shown;
mod sql_types;
mod standing;
mod statements;
mod surveyor;
// Not a part of it: `proof/` includes that folder, and has no servers of this kind.
#[cfg(all(test, feature = "testing"))]
#[path = "statements/tests.rs"]
mod statements_tests;
mod term;
#[cfg(feature = "testing")]
pub mod testing;
mod words;
mod work;

pub use campaign::{Campaign, LeadOutput, Takeover};
pub use candidacy::{Candidacy, run};
pub use config::{Config, Credentials, Overrun};
pub use elector::Elector;
pub use error::{Error, ErrorKind};
pub use observer::Observer;
pub use platform::clock;
pub use shown::shown;
pub use standing::{
    AddressError, Changes, ElectionState, ParseStateError, ProcessState, Standing, WaitingFor,
};
pub use term::Term;
pub use work::task::{Task, TaskError};

/// When the work of a term must stop.
pub mod leash {
    pub use crate::engine::{Demand, Leash};
}
