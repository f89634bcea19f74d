//! What the command's tests share: all that the library's do, and the command.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses a part of it"
)]

#[path = "../../../tests/support/mod.rs"]
mod library;

pub mod command;

pub use library::*;
