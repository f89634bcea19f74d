//! Steady.
fn main() {}
