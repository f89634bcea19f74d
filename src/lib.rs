#![doc = include_str!("../README.md")]

mod config;
mod doctor;
mod elector;
mod engine;
mod error;
mod fence;
mod leader;
mod leash;
mod observer;
mod operator;
mod platform;
mod schema;
mod session;
mod standing;
mod task;
mod term;
mod term_state;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{Campaign, Config, Credentials, Overrun, Takeover};
pub use doctor::{Finding, Severity, examine, examine_with};
pub use elector::Elector;
pub use error::Error;
pub use leader::{Leader, run};
pub use observer::Observer;
pub use operator::{
    Backend, CandidateStatus, ElectionStatus, Installed, Operator, PastTerm, Request,
};
pub use platform::clock;
pub use standing::{
    AddressError, ElectionState, ParseStateError, ProcessState, Standing, WaitingFor,
};
pub use task::{Task, TaskError};
pub use term::Term;
