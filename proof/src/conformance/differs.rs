//! What may differ between PostgreSQL and the pretend server, and why. All else must be the same.

use crate::engine::{Answer, Campaigned, Office, Told, Try};

/// What differs, and why that tells nothing.
pub const MAY_DIFFER: [(&str, &str); 11] = [
    (
        "the ids of elections",
        "a sequence skips numbers after a crash; each is known by its name",
    ),
    (
        "the pids of backends",
        "the system gives them out; each is known by the session that it is of",
    ),
    (
        "the number of a term within the second block and later ones",
        "it says when it was given out; the block and the order of terms are compared",
    ),
    (
        "which term of the second block and later ones forgets dead candidates",
        "every twentieth number does, and those say when they were given out: a run ends with such a term",
    ),
    (
        "tokens of terms",
        "they are secrets; that a fence takes a term's own is compared",
    ),
    (
        "the time of a backend's last change of state",
        "clocks; whether it has changed since the last look is compared",
    ),
    (
        "the counters' values at the beginning, and the time of their reset",
        "others use the server too; what they count since, and which reset it was, is compared",
    ),
    (
        "the order of the rows of an answer",
        "SQL has none; rows are known by their election",
    ),
    (
        "the words of an error",
        "the engine gives up the session whatever they are",
    ),
    (
        "how a session is counted whose socket is closed while an answer is on its way",
        "fatal where the server still sends it: whoever drives the pretend server says which; here nothing is on its way",
    ),
    (
        "whether a vacate outlives a crash",
        "it waits for no disk; here all is flushed before a crash",
    ),
];

/// An answer without what may differ in it, its rows in one order.
pub(super) fn without(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Joined(joined) => {
            alike(joined);
            joined.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Answer::Campaigned(tries) => {
            for (_, tried) in &mut *tries {
                if let Ok(Campaigned {
                    tried: Try::Began { token, .. },
                    ..
                }) = tried
                {
                    *token = "".into();
                }
            }
            alike(tries);
            tries.sort_by_key(|(election, _)| *election);
        }
        Answer::Office(offices) => {
            for (_, office) in &mut *offices {
                if let Ok(Office::Began { token, .. }) = office {
                    *token = "".into();
                }
            }
            alike(offices);
            offices.sort_by_key(|(election, _)| *election);
        }
        Answer::Vacated(of) | Answer::Gone(of) | Answer::Recorded(of) => {
            alike(of);
            of.sort_by_key(|(election, _)| *election);
        }
        Answer::Left(of) => {
            alike(of);
            of.sort_by_key(|(election, _)| *election);
        }
        Answer::Evicted(of) => {
            alike(of);
            of.sort_by_key(|(election, _)| *election);
        }
        Answer::Read(found) => {
            alike(found);
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Answer::FencedEnded(ended) => {
            alike(ended);
            ended.sort_by_key(|(election, _)| *election);
        }
        Answer::Asked(asked) => asked.sort_by_key(|asked| asked.election),
        Answer::Done | Answer::Counters(_) => {}
    }
    answer
}

/// The words of an error differ.
fn alike<N, T>(all: &mut [(N, Told<T>)]) {
    for (_, outcome) in all {
        if let Err(refused) = outcome {
            refused.why = "".into();
        }
    }
}
