//! What stands in the database, by SQL: its functions, tables, rights, fences and installation.

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod fenced_work;
mod fencing;
mod hardened;
mod installing;
mod kept_rows;
mod operators;
mod rights;
mod schema;
mod session_mark;
