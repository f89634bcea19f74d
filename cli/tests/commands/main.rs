//! What each command says and does, but for `run`.

#[path = "../support/mod.rs"]
mod support;

mod command_doctor;
mod command_levers;
mod command_line;
mod command_pgpool;
mod command_shown;
mod command_status;
mod command_tls;
