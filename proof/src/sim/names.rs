//! What the report calls the kinds of what goes into the engine and comes out of it.

use super::office::Manner;
use crate::engine::{Answer, Bar, Input, Notice, Office, Output, Try};

/// Every kind that a run can meet, by what it is a kind of.
pub(super) const ALL: [(&str, &str); 112] = [
    ("input", "Timer"),
    ("input", "Join"),
    ("input", "Observe"),
    ("input", "Unobserve"),
    ("input", "Ready"),
    ("input", "Fail"),
    ("input", "EndedByItself"),
    ("input", "Resign"),
    ("input", "GiveUp"),
    ("input", "Leave"),
    ("input", "Shutdown"),
    ("input", "Opened"),
    ("input", "NotOpened"),
    ("input", "Answered"),
    ("input", "Refused"),
    ("input", "Lost"),
    ("input", "Notified"),
    ("input", "Looked"),
    ("input", "Stopped"),
    ("input", "Restarted"),
    ("output", "Extend"),
    ("output", "Begin"),
    ("output", "Publish"),
    ("output", "Start"),
    ("output", "Cancel"),
    ("output", "Drop"),
    ("output", "Abort"),
    ("output", "Open"),
    ("output", "Send"),
    ("output", "LetGo"),
    ("output", "Goodbye"),
    ("output", "Resigned"),
    ("output", "Left"),
    ("output", "Finished"),
    ("output", "Tell"),
    ("output", "Finished, refused"),
    ("notice", "Stranger"),
    ("notice", "Barred"),
    ("notice", "Refused"),
    ("notice", "Refused no more"),
    ("notice", "Waiting"),
    ("notice", "Spared"),
    ("notice", "Fenced"),
    ("notice", "FencedEnded"),
    ("notice", "TookOffice"),
    ("notice", "Evicting"),
    ("notice", "Deposed"),
    ("notice", "Vacated"),
    ("notice", "VacateRefused"),
    ("notice", "HoldsOff"),
    ("notice", "OutOfGrace"),
    ("notice", "Overran"),
    ("notice", "Connected"),
    ("notice", "NoSession"),
    ("notice", "SessionEnded"),
    ("notice", "GivenUp"),
    ("notice", "NotAnnounced"),
    ("request", "Join"),
    ("request", "Campaign"),
    ("request", "Campaign, overdue"),
    ("request", "TakeOffice"),
    ("request", "Ready"),
    ("request", "Prove"),
    ("request", "Heartbeat"),
    ("request", "Vacate"),
    ("request", "Release"),
    ("request", "Announce"),
    ("request", "Read"),
    ("request", "Leave"),
    ("request", "BackendGone"),
    ("request", "Counters"),
    ("request", "Evict"),
    ("request", "EndFenced"),
    ("answer", "Done"),
    ("answer", "Joined"),
    ("answer", "Campaigned"),
    ("answer", "Recorded"),
    ("answer", "one of several"),
    ("answer", "Left"),
    ("answer", "Office"),
    ("answer", "Asked"),
    ("answer", "Asked for an end"),
    ("answer", "Vacated"),
    ("answer", "Read"),
    ("answer", "Gone"),
    ("answer", "Counters"),
    ("answer", "Evicted"),
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

pub(super) fn input(input: &Input) -> &'static str {
    match input {
        Input::Timer => "Timer",
        Input::Join { .. } => "Join",
        Input::Observe { .. } => "Observe",
        Input::Unobserve { .. } => "Unobserve",
        Input::Ready { .. } => "Ready",
        Input::Fail { .. } => "Fail",
        Input::EndedByItself { .. } => "EndedByItself",
        Input::Resign { .. } => "Resign",
        Input::GiveUp { .. } => "GiveUp",
        Input::Leave { .. } => "Leave",
        Input::Shutdown => "Shutdown",
        Input::Opened { .. } => "Opened",
        Input::NotOpened { .. } => "NotOpened",
        Input::Answered(_) => "Answered",
        Input::Refused { .. } => "Refused",
        Input::Lost { .. } => "Lost",
        Input::Notified(_) => "Notified",
        Input::Looked { .. } => "Looked",
        Input::Stopped { .. } => "Stopped",
        Input::Restarted { .. } => "Restarted",
    }
}

pub(super) fn output(output: &Output) -> &'static str {
    match output {
        Output::Extend { .. } => "Extend",
        Output::Begin { .. } => "Begin",
        Output::Publish { .. } => "Publish",
        Output::Start { .. } => "Start",
        Output::Cancel { .. } => "Cancel",
        Output::Drop { .. } => "Drop",
        Output::Abort => "Abort",
        Output::Open { .. } => "Open",
        Output::Send(_) => "Send",
        Output::LetGo => "LetGo",
        Output::Goodbye => "Goodbye",
        Output::Resigned { .. } => "Resigned",
        Output::Left { .. } => "Left",
        Output::Finished { refused: true } => "Finished, refused",
        Output::Finished { refused: false } => "Finished",
        Output::Tell(_) => "Tell",
    }
}

pub(super) fn notice(notice: &Notice) -> &'static str {
    match notice {
        Notice::Stranger { .. } => "Stranger",
        Notice::Barred { .. } => "Barred",
        Notice::Refused { why: Some(_), .. } => "Refused",
        Notice::Refused { why: None, .. } => "Refused no more",
        Notice::Waiting { .. } => "Waiting",
        Notice::Spared { .. } => "Spared",
        Notice::Fenced { .. } => "Fenced",
        Notice::FencedEnded { .. } => "FencedEnded",
        Notice::TookOffice { .. } => "TookOffice",
        Notice::Evicting { .. } => "Evicting",
        Notice::Deposed { .. } => "Deposed",
        Notice::Vacated { .. } => "Vacated",
        Notice::Declined { .. } => "Declined",
        Notice::HoldsOff { .. } => "HoldsOff",
        Notice::Stranded { .. } => "Stranded",
        Notice::OutOfGrace { .. } => "OutOfGrace",
        // No server does that.
        Notice::Stale { .. } => "Stale",
        Notice::VacateRefused { .. } => "VacateRefused",
        Notice::Overran { .. } => "Overran",
        Notice::NotEvicted { .. } => "NotEvicted",
        // Everybody may end everything here.
        Notice::FencedRemain { .. } => "FencedRemain",
        Notice::Connected { .. } => "Connected",
        Notice::NoSession { .. } => "NoSession",
        Notice::SessionEnded { .. } => "SessionEnded",
        Notice::GivenUp { .. } => "GivenUp",
        // The simulator breaks there.
        Notice::Muddled(_) => "Muddled",
        Notice::NotAnnounced { .. } => "NotAnnounced",
    }
}

pub(super) fn answer(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done => "Done",
        Answer::Joined(_) => "Joined",
        Answer::Campaigned(_) => "Campaigned",
        Answer::Office(_) => "Office",
        Answer::Asked(_) => "Asked",
        Answer::Vacated(_) => "Vacated",
        Answer::Read(_) => "Read",
        Answer::Gone(_) => "Gone",
        Answer::Counters(_) => "Counters",
        Answer::Recorded(_) => "Recorded",
        Answer::Left(_) => "Left",
        Answer::Evicted(_) => "Evicted",
        Answer::FencedEnded(_) => "FencedEnded",
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
