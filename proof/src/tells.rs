//! What a request is called, and what an answer tells of terms: told apart from what the engine makes of them.

use std::sync::Arc;

use crate::engine::{Answer, Id, Office, Request, Told, Try};
use crate::postgres::Tables;

/// What was done of an answer, and not refused.
pub(crate) fn done<'a, N, T>(
    all: &'a [(N, Told<T>)],
) -> impl Iterator<Item = (&'a N, &'a T)> + use<'a, N, T> {
    let all = all.iter();
    all.filter_map(|(name, outcome)| Some((name, outcome.as_ref().ok()?)))
}

/// The terms that an answer of the server with these tables tells of, by election.
pub(crate) fn all_told(answer: &Answer, tables: &Tables) -> Vec<(Arc<str>, u64)> {
    let named = |(election, term): (Id, u64)| Some((Arc::clone(tables.name(election)?), term));
    match answer {
        Answer::Joined(joined) => {
            let told = done(joined);
            let told = told.map(|(name, joined)| (Arc::clone(name), joined.heard.term));
            told.collect()
        }
        Answer::Campaigned(tries) => {
            let term = |tried: &Try| match tried {
                Try::Began { term, .. } => *term,
                Try::Won(won) => won.heard.term,
                Try::Fenced { last_term, .. } => *last_term,
                Try::Held(held) => held.term,
            };
            let tries = done(tries).map(|(election, one)| (*election, term(&one.tried)));
            tries.filter_map(named).collect()
        }
        Answer::Office(offices) => {
            let told = done(offices).filter_map(|(election, office)| match office {
                Office::Began { term, .. } => Some((*election, *term)),
                Office::Waiting { heard, .. } => Some((*election, heard.term)),
                Office::Fenced | Office::Barred(_) => None,
            });
            told.filter_map(named).collect()
        }
        Answer::Read(found) => {
            let told = done(found).filter_map(|(name, found)| {
                let found = found.as_ref()?;
                Some((Arc::clone(name), found.view.term))
            });
            told.collect()
        }
        _ => vec![],
    }
}

/// The terms that have begun with it.
pub(crate) fn begun(answer: &Answer) -> Vec<(Id, u64)> {
    match answer {
        Answer::Campaigned(tries) => {
            let begun = done(tries).filter_map(|(election, one)| match one.tried {
                Try::Began { term, .. } => Some((*election, term)),
                _ => None,
            });
            begun.collect()
        }
        Answer::Office(offices) => {
            let begun = done(offices).filter_map(|(election, office)| match office {
                Office::Began { term, .. } => Some((*election, *term)),
                _ => None,
            });
            begun.collect()
        }
        _ => vec![],
    }
}

/// As the reports of what was met call it.
pub(crate) fn kind(request: &Request) -> &'static str {
    match request {
        Request::Join(_) => "Join",
        Request::Campaign(_) => "Campaign",
        Request::TakeOffice(_) => "TakeOffice",
        Request::Ready(_) => "Ready",
        Request::Prove => "Prove",
        Request::Heartbeat(_) => "Heartbeat",
        Request::Vacate(_) => "Vacate",
        Request::Release { .. } => "Release",
        Request::Announce(_) => "Announce",
        Request::Read(_) => "Read",
        Request::Leave(_) => "Leave",
        Request::BackendGone(_) => "BackendGone",
        Request::Counters => "Counters",
        Request::Evict(_) => "Evict",
        Request::EndFenced(_) => "EndFenced",
    }
}
