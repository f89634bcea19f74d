//! What an answer tells of terms, told apart from what a machine makes of it.

use crate::engine::{Answer, Key, Office, Try};

/// The greatest term of this election that an answer tells of; 0: none.
pub(crate) fn tells(answer: &Answer, key: Key) -> u64 {
    let of = |told: &Key| *told == key;
    match answer {
        Answer::Joined { key: told, heard } if of(told) => heard.term,
        Answer::Campaigned { tries } => {
            let tries = tries.iter().filter(|(told, _)| of(told));
            let terms = tries.map(|(_, tried)| match tried {
                Try::Began { term } => *term,
                Try::Won(won) => won.heard.term,
                Try::Fenced { last_term, .. } => *last_term,
                Try::Held(held) => held.term,
            });
            terms.max().unwrap_or(0)
        }
        Answer::Office { key: told, office } if of(told) => match office {
            Office::Began { term } => *term,
            Office::Waiting { heard, .. } => heard.term,
            Office::Fenced | Office::Barred(_) => 0,
        },
        Answer::Read { views } => {
            let views = views.iter().filter(|(told, _)| of(told));
            views.map(|(_, view)| view.term).max().unwrap_or(0)
        }
        _ => 0,
    }
}
