//! This process.

use rustix::process::{Signal, getpid, kill_process};

/// By SIGKILL, which no handler, no exit hook and no dump of the memory delays, where it may be sent.
pub(crate) fn end() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // The first process of a pid namespace cannot kill itself. A handler of SIGABRT comes first here; no safe
    // call ends it without.
    std::process::abort()
}

/// Not through std's stderr: whoever holds its lock may block.
pub(crate) fn write_to_stderr(words: &str) {
    let _ = rustix::io::write(rustix::stdio::stderr(), words.as_bytes());
}

/// The name of the user that it runs as, wherever the system looks users up: a file, LDAP, a directory service.
pub(crate) fn user() -> Option<String> {
    whoami::username().ok()
}
