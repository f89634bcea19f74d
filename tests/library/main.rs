//! What the library promises to the program that embeds it.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod candidacy;
mod credentials;
mod denied;
mod foreign_code;
mod handles;
mod runtimes;
mod tls;

#[test]
#[ignore = "a candidate's process, which the other tests start"]
fn candidate_process() {
    foreign_code::candidate();
}
