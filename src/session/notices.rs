//! What people should know, in words: transitions at info, what needs a person at warn.

use std::sync::Arc;

use tracing::Level;

use super::log::Entry;
use crate::engine::{Bar, Notice};

pub(crate) fn entry(election: &Arc<str>, address: Option<&Arc<str>>, notice: &Notice) -> Entry {
    words(notice).of(election, address)
}

fn words(notice: &Notice) -> Entry {
    match notice {
        Notice::Stranger { pid: Some(pid), .. } => warn(
            "the leadership is held by a session that is no candidate: nobody can lead until it ends",
        )
        .pid(*pid),
        Notice::Stranger { pid: None, .. } => info("the stranger has let the leadership go"),
        Notice::Barred { bar, .. } => barred(*bar),
        Notice::Waiting {
            last_term, at_most, ..
        } => Entry {
            at_most: Some(*at_most),
            ..info("won, and waiting: the last term's work may still run").term(*last_term)
        },
        Notice::Spared { last_term, why, .. } => {
            let message = format!("no need to wait: {why}");
            Entry::new(Level::INFO, message).term(*last_term)
        }
        Notice::Fenced { .. } => info(
            "waiting for fenced transactions of past terms, or a stranger that holds their lock (see \
             pgleader.fenced); the sessions of those that outlast the refractory period are ended",
        ),
        Notice::FencedEnded {
            ended, remaining, ..
        } => Entry {
            ended: Some(*ended),
            remaining: (*remaining > 0).then_some(*remaining),
            ..warn(if *remaining == 0 {
                "sessions of fenced transactions of past terms, or of strangers that hold their lock, stood in the \
                 way for too long: ended them"
            } else {
                "fenced transactions of past terms, or strangers that hold their lock, stand in the way, and this \
                 role may not end them or they are prepared or may be behind pgpool-II: see pgleader.fenced; grant \
                 pg_signal_backend to the schema's owner, or end them by hand, at their client where pgpool-II is \
                 between"
            })
        },
        Notice::Evicting { term, .. } => {
            warn("the leader was silent for its lease: ending its session").term(*term)
        }
        Notice::Deposed { term, why, .. } => {
            Entry::new(Level::WARN, format!("deposed: {why}")).term(*term)
        }
        Notice::Vacated { term, ending, .. } => Entry {
            ending: Some(*ending),
            ..info("the term is vacated").term(*term)
        },
        Notice::VacateRefused { term, .. } => warn(
            "the work has stopped, and for a lease it could not be recorded: a fenced transaction of the term is \
             under way (see pgleader.fenced). Whoever leads next waits for a lease and ends it",
        )
        .term(*term),
        Notice::Stale { term, heard, .. } => Entry::new(
            Level::ERROR,
            format!(
                "the server has begun a term that is not above term {heard}, which was heard of: it is given up \
                 without work"
            ),
        )
        .term(*term),
        Notice::Declined { .. } => info("resigned before it took office"),
        Notice::OutOfGrace { term, .. } => {
            warn("the work did not stop within the grace: dropping it").term(*term)
        }
    }
}

fn barred(bar: Option<Bar>) -> Entry {
    match bar {
        None => info("may lead again"),
        Some(Bar::Suspended) => {
            info("the election is suspended: nobody leads until pgleader.resume")
        }
        Some(Bar::Excluded) => {
            info("this address is excluded: it does not lead until pgleader.include")
        }
        Some(Bar::Transfer) => info("the next term is to be another candidate's"),
        Some(Bar::Outranked) => Entry::new(Level::DEBUG, "making way for a higher priority"),
        Some(Bar::Unknown) => warn(
            "what operators ask for cannot be read, so nobody may begin a term: pgleader.request is locked",
        ),
        Some(Bar::Elsewhere) => warn(
            "the leadership is held on another host that accepts writes: no term begins here until it is let go",
        ),
        Some(Bar::Beyond) => Entry::new(
            Level::ERROR,
            "this process has heard of a term that lies more than 16 blocks beyond this server's record and \
             timeline, or too far from it altogether, and will not work below it: is this the right server? Restart \
             the process to forget that term",
        ),
    }
}

fn info(message: &'static str) -> Entry {
    Entry::new(Level::INFO, message)
}

fn warn(message: &'static str) -> Entry {
    Entry::new(Level::WARN, message)
}
