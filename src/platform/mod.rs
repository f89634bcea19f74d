//! What is the operating system's: its clock, this process, the patience of TCP, who is at the other end of a Unix
//! socket. All that differs between systems is here, with what is done where it is not Linux (not tried).

pub mod clock;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod tcp;
