//! What the engine wants done.

use std::sync::Arc;

use super::{Instant, Key, Notice, Published, Request, Search};

/// Something to do. Of what one input brings first comes what shows and begins, then what is done, last what is said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// The terms of this session are current until then, if nothing else is answered. Where somebody has seen them
    /// end before, the session is lost.
    Extend {
        until: Instant,
    },
    /// A term of this process: make what its work and its handles share.
    Begin {
        key: Key,
        term: u64,
        token: Arc<str>,
    },
    /// Show everybody how an election stands.
    Publish {
        key: Key,
        published: Published,
    },
    /// Start the work of the term that has begun.
    Start {
        key: Key,
        term: u64,
    },
    /// Tell the work that its term is over.
    Cancel {
        key: Key,
    },
    /// Drop the work.
    Drop {
        key: Key,
    },
    /// End the process: its work has outlived its lease.
    Abort,
    /// Connect, prove the server fit, listen. Answered by `Opened` or `NotOpened`. `first`: there was no session yet.
    Open {
        instance: Option<Arc<str>>,
        first: bool,
        search: Search,
    },
    /// Look at all hosts of the connection string, and who leads these elections there. Answered by `Looked`, unless the
    /// session ends before.
    Look {
        elections: Vec<String>,
    },
    Send(Request),
    /// All terms of the session are over: let go of it without a word. Its socket stays open while work runs.
    LetGo,
    /// Nothing runs any more: end the session in order.
    Goodbye,
    /// What this candidacy held it has given up. `term`: the term that ended with it.
    Resigned {
        key: Key,
        candidacy: u64,
        term: Option<u64>,
    },
    /// The candidacy is over.
    Left {
        key: Key,
    },
    /// Everything is over. `refused`: there never was a session.
    Finished {
        refused: bool,
    },
    /// Say it.
    Tell(Notice),
}
