//! What the report calls the kinds of the state machine's messages.

use super::work::Manner;
use crate::engine::{Action, Answer, Bar, Event, Notice, Office, Query, Try};

/// Every kind that a run can meet, by what it is a kind of.
pub(super) const ALL: [(&str, &str); 87] = [
    ("event", "Timer"),
    ("event", "Connected"),
    ("event", "Disconnected"),
    ("event", "Answered"),
    ("event", "Looked"),
    ("event", "Hint"),
    ("event", "WorkStopped"),
    ("event", "Join"),
    ("event", "Observe"),
    ("event", "Ready"),
    ("event", "Failed"),
    ("event", "Resign"),
    ("event", "Leave"),
    ("event", "Shutdown"),
    ("action", "Publish"),
    ("action", "Connect"),
    ("action", "Send"),
    ("action", "Abandon"),
    ("action", "Start"),
    ("action", "Cancel"),
    ("action", "Drop"),
    ("action", "Overrun"),
    ("action", "Left"),
    ("action", "Finish"),
    ("action", "Tell"),
    ("notice", "Stranger"),
    ("notice", "Barred"),
    ("notice", "Waiting"),
    ("notice", "Spared"),
    ("notice", "Fenced"),
    ("notice", "FencedEnded"),
    ("notice", "Evicting"),
    ("notice", "Deposed"),
    ("notice", "Vacated"),
    ("notice", "VacateRefused"),
    ("notice", "OutOfGrace"),
    ("query", "Join"),
    ("query", "Campaign"),
    ("query", "Campaign, overdue"),
    ("query", "TakeOffice"),
    ("query", "Ready"),
    ("query", "Prove"),
    ("query", "Heartbeat"),
    ("query", "Vacate"),
    ("query", "Release"),
    ("query", "Announce"),
    ("query", "Read"),
    ("query", "Leave"),
    ("query", "BackendGone"),
    ("query", "Counters"),
    ("query", "Evict"),
    ("query", "EndFenced"),
    ("answer", "Done"),
    ("answer", "Joined"),
    ("answer", "Campaigned"),
    ("answer", "Office"),
    ("answer", "Heartbeat"),
    ("answer", "Vacated"),
    ("answer", "Read"),
    ("answer", "Left"),
    ("answer", "BackendGone"),
    ("answer", "Counters"),
    ("answer", "FencedEnded"),
    ("try", "Began"),
    ("try", "Won"),
    ("try", "Fenced"),
    ("try", "Held"),
    ("office", "Began"),
    ("office", "Waiting"),
    ("office", "Fenced"),
    ("office", "Barred"),
    ("bar", "Suspended"),
    ("bar", "Excluded"),
    ("bar", "Transfer"),
    ("bar", "Outranked"),
    ("bar", "Unknown"),
    ("view", "barred"),
    ("view", "called"),
    ("work", "Obeys"),
    ("work", "Deaf"),
    ("work", "Stubborn"),
    ("work", "Blocks"),
    ("work", "Returns"),
    ("work", "Fails"),
    ("work", "Resigns"),
    ("fence", "admits"),
    ("fence", "refuses"),
];

pub(super) fn event(event: &Event) -> &'static str {
    match event {
        Event::Timer => "Timer",
        Event::Connected => "Connected",
        Event::Disconnected | Event::NotOpened { .. } => "Disconnected",
        Event::Answered { .. } => "Answered",
        Event::Looked { .. } => "Looked",
        Event::Hint { .. } => "Hint",
        Event::WorkStopped { .. } => "WorkStopped",
        Event::Join { .. } => "Join",
        Event::Return { .. } => "Return",
        Event::Observe { .. } | Event::Unobserve { .. } => "Observe",
        Event::Ready { .. } => "Ready",
        Event::Failed { .. } => "Failed",
        Event::Resign { .. } => "Resign",
        Event::GiveUp { .. } => "GiveUp",
        Event::Leave { .. } => "Leave",
        Event::Shutdown => "Shutdown",
    }
}

pub(super) fn action(action: &Action) -> &'static str {
    match action {
        Action::Publish { .. } => "Publish",
        Action::Connect => "Connect",
        Action::Send { .. } => "Send",
        Action::Abandon => "Abandon",
        Action::Start { .. } => "Start",
        Action::Cancel { .. } => "Cancel",
        Action::Drop { .. } => "Drop",
        Action::Overrun { .. } => "Overrun",
        Action::GaveUp { .. } => "GaveUp",
        Action::Left { .. } => "Left",
        Action::Finish => "Finish",
        Action::Tell(_) => "Tell",
    }
}

pub(super) fn notice(notice: &Notice) -> &'static str {
    match notice {
        Notice::Stranger { .. } => "Stranger",
        Notice::Barred { .. } => "Barred",
        Notice::Waiting { .. } => "Waiting",
        Notice::Spared { .. } => "Spared",
        Notice::Fenced { .. } => "Fenced",
        Notice::FencedEnded { .. } => "FencedEnded",
        Notice::Evicting { .. } => "Evicting",
        Notice::Deposed { .. } => "Deposed",
        Notice::Vacated { .. } => "Vacated",
        Notice::Declined { .. } => "Declined",
        Notice::OutOfGrace { .. } => "OutOfGrace",
        // No server does that.
        Notice::Stale { .. } => "Stale",
        Notice::VacateRefused { .. } => "VacateRefused",
    }
}

pub(super) fn query(query: &Query) -> &'static str {
    match query {
        Query::Join { .. } => "Join",
        Query::Campaign { .. } => "Campaign",
        Query::TakeOffice { .. } => "TakeOffice",
        Query::Ready { .. } => "Ready",
        Query::Prove => "Prove",
        Query::Heartbeat { .. } => "Heartbeat",
        Query::Vacate { .. } => "Vacate",
        Query::Release { .. } => "Release",
        Query::Announce { .. } => "Announce",
        Query::Read => "Read",
        Query::Leave { .. } => "Leave",
        Query::BackendGone { .. } => "BackendGone",
        Query::Counters { .. } => "Counters",
        Query::Evict { .. } => "Evict",
        Query::EndFenced { .. } => "EndFenced",
    }
}

pub(super) fn answer(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done => "Done",
        Answer::Joined { .. } => "Joined",
        Answer::Campaigned { .. } => "Campaigned",
        Answer::Office { .. } => "Office",
        Answer::Heartbeat { .. } => "Heartbeat",
        Answer::Vacated { .. } => "Vacated",
        Answer::Read { .. } => "Read",
        Answer::Left { .. } => "Left",
        Answer::BackendGone { .. } => "BackendGone",
        Answer::Counters { .. } => "Counters",
        Answer::FencedEnded { .. } => "FencedEnded",
    }
}

pub(super) fn tried(tried: &Try) -> &'static str {
    match tried {
        Try::Began { .. } => "Began",
        Try::Won(_) => "Won",
        Try::Fenced { .. } => "Fenced",
        Try::Held(_) => "Held",
    }
}

pub(super) fn office(office: &Office) -> &'static str {
    match office {
        Office::Began { .. } => "Began",
        Office::Waiting { .. } => "Waiting",
        Office::Fenced => "Fenced",
        Office::Barred(_) => "Barred",
    }
}

pub(super) fn bar(bar: Bar) -> &'static str {
    match bar {
        Bar::Suspended => "Suspended",
        Bar::Excluded => "Excluded",
        Bar::Transfer => "Transfer",
        Bar::Outranked => "Outranked",
        Bar::Unknown => "Unknown",
        // It takes seventeen promotions that are thrown away.
        Bar::Beyond => "Beyond",
        Bar::Elsewhere => "Elsewhere",
    }
}

pub(super) fn manner(manner: Manner) -> &'static str {
    match manner {
        Manner::Obeys => "Obeys",
        Manner::Deaf => "Deaf",
        Manner::Stubborn => "Stubborn",
        Manner::Blocks => "Blocks",
        Manner::Returns => "Returns",
        Manner::Fails => "Fails",
        Manner::Resigns => "Resigns",
    }
}
