//! What people should know, in words: transitions at info, what needs a person at warn.

use std::time::Duration;

use tracing::Level;

use crate::engine::{Bar, Muddle, Notice, Sight};
use crate::foreign::log::Entry;

const FENCED: &str = "waiting for fenced transactions of past terms, or a stranger that holds their lock (see \
             pgleader.fenced); the sessions of those that outlast the refractory period are ended";

const STRANDED: &str = "the runtime on which the work is to run has been shut down, so it can never run: this \
             candidacy leaves";

pub(crate) fn entry(notice: &Notice) -> Entry {
    match notice {
        Notice::Stranger { who, .. } => stranger(who.as_deref()),
        Notice::Barred { bar, .. } => barred(*bar),
        Notice::Refused { why, .. } => refused(why.as_deref()),
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
        Notice::Fenced { .. } => info(FENCED),
        Notice::FencedEnded {
            ended, remaining, ..
        } => fenced_ended(*ended, *remaining),
        Notice::TookOffice { term, .. } => info("took office").term(*term),
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
        Notice::Stale { term, heard, .. } => stale(*heard).term(*term),
        Notice::Declined { .. } => info("resigned before it took office"),
        Notice::HoldsOff { term, at_most, .. } => holds_off(*at_most).term(*term),
        Notice::Stranded { .. } => Entry::new(Level::ERROR, STRANDED),
        Notice::OutOfGrace { term, .. } => {
            warn("the work did not stop within the grace: dropping it").term(*term)
        }
        Notice::Overran { term, .. } => Entry::new(
            Level::ERROR,
            "the work outlives its lease, for it blocks its thread or the process stood still: it may overlap the \
             next term's work",
        )
        .term(*term),
        Notice::NotEvicted { term, pooled, .. } => not_evicted(*pooled).term(*term),
        Notice::FencedRemain { who, .. } => {
            let message = format!("in the way, and not ended: {who}");
            Entry::new(Level::WARN, message)
        }
        Notice::Connected { pid, direct } => connected(*direct).pid(*pid),
        Notice::NoSession { why, again } => no_session(why, *again),
        Notice::SessionEnded { why } => {
            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
            Entry::new(Level::WARN, format!("the session ended{why}"))
        }
        Notice::Writers { own, hosts } => writers(own, hosts),
        Notice::LeavesFor { own, best } => leaves(own, best),
        Notice::GivenUp { why } => given_up(why),
        Notice::Muddled(Muddle::NeverJoined) => given_up("an election of its was never joined"),
        Notice::Muddled(Muddle::NoFit) => given_up("an answer does not fit its request"),
        Notice::NotAnnounced { why } => {
            Entry::new(Level::WARN, format!("no notification was sent: {why}"))
        }
    }
}

fn leaves(own: &Sight, best: &Sight) -> Entry {
    let (own, best) = (with_timeline(own), with_timeline(best));
    let message =
        format!("leaving {own} for {best}, which accepts writes too: terms here are over");
    Entry::new(Level::WARN, message)
}

fn with_timeline(sight: &Sight) -> String {
    match sight.timeline {
        Some(timeline) => format!("{} (timeline {timeline})", sight.name),
        None => sight.name.clone(),
    }
}

fn writers(own: &Sight, hosts: &[Sight]) -> Entry {
    if hosts.is_empty() {
        let message = format!("one host accepts writes again: {}", own.name);
        return Entry::new(Level::INFO, message);
    }
    let each = hosts.iter().map(|sight| match sight.timeline {
        _ if sight.server != own.server && !own.rivals(sight) => {
            format!("{}, which is of another cluster", sight.name)
        }
        Some(timeline) => format!("{} on timeline {timeline}", sight.name),
        None => format!("{}, which does not tell its timeline", sight.name),
    });
    let each: Vec<_> = each.collect();
    let advice = "Only one of them may: stop the others, or follow the newest timeline with them (pg_rewind)";
    let message = format!("several hosts accept writes: {}. {advice}", each.join("; "));
    Entry::new(Level::WARN, message)
}

fn given_up(why: &str) -> Entry {
    Entry::new(Level::WARN, format!("the session is given up: {why}"))
}

fn stranger(who: Option<&str>) -> Entry {
    match who {
        Some(who) => Entry::new(
            Level::WARN,
            format!("a stranger is in the way, who takes no part in the election: {who}"),
        ),
        None => info("the stranger has let go"),
    }
}

fn refused(why: Option<&str>) -> Entry {
    match why {
        Some(why) => Entry::new(
            Level::WARN,
            format!("the server refuses this election, and no other for that; trying again: {why}"),
        ),
        None => info("the server refuses this election no longer"),
    }
}

fn fenced_ended(ended: u32, remaining: u32) -> Entry {
    Entry {
        ended: Some(ended),
        remaining: (remaining > 0).then_some(remaining),
        ..warn(if remaining == 0 {
            "sessions of fenced transactions of past terms, or of strangers that hold their lock, stood in the \
                 way for too long: ended them"
        } else {
            "fenced transactions of past terms, or strangers that hold their lock, stand in the way, and this \
                 role may not end them or they are prepared or may be behind pgpool-II: see pgleader.fenced; grant \
                 pg_signal_backend to the schema's owner, or end them by hand, at their client where pgpool-II is \
                 between"
        })
    }
}

fn not_evicted(pooled: bool) -> Entry {
    warn(if pooled {
        "the silent leader's session is behind pgpool-II, which would detach the server: it is left to the \
             server's silence limit"
    } else {
        "the silent leader's session could not be ended: this role needs the same role as the leader's, or the \
             schema's owner pg_signal_backend"
    })
}

fn holds_off(at_most: Duration) -> Entry {
    Entry {
        at_most: Some(at_most),
        ..info(
            "holding off, so that the others come first: the work has failed, or ended by itself sooner than a lease",
        )
    }
}

fn stale(heard: u64) -> Entry {
    Entry::new(
        Level::ERROR,
        format!(
            "the server has begun a term that is not above term {heard}, which was heard of: it is given up \
                 without work"
        ),
    )
}

fn connected(direct: bool) -> Entry {
    let how = if direct { "directly" } else { "not directly" };
    Entry::new(Level::DEBUG, format!("connected, {how}"))
}

fn no_session(why: &str, again: bool) -> Entry {
    if again {
        Entry::new(Level::DEBUG, format!("still no session: {why}"))
    } else {
        Entry::new(Level::WARN, format!("no session: {why}; trying again"))
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
