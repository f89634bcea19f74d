//! What an answer tells of terms, told apart from what a machine makes of it.

use crate::engine::{Answer, Key, Office, Try};

/// The greatest term of this election that an answer tells of; 0: none.
pub(crate) fn tells(answer: &Answer, key: Key) -> u64 {
    let told = all_told(answer).into_iter();
    let told = told.filter(|(of, _)| *of == key).map(|(_, term)| term);
    told.max().unwrap_or(0)
}

/// The terms that an answer tells of.
pub(crate) fn all_told(answer: &Answer) -> Vec<(Key, u64)> {
    match answer {
        Answer::Joined { key, heard } => vec![(*key, heard.term)],
        Answer::Campaigned { tries } => {
            let term = |tried: &Try| match tried {
                Try::Began { term } => *term,
                Try::Won(won) => won.heard.term,
                Try::Fenced { last_term, .. } => *last_term,
                Try::Held(held) => held.term,
            };
            let tries = tries.iter();
            tries.map(|(key, tried)| (*key, term(tried))).collect()
        }
        Answer::Office { key, office } => match office {
            Office::Began { term } => vec![(*key, *term)],
            Office::Waiting { heard, .. } => vec![(*key, heard.term)],
            Office::Fenced | Office::Barred(_) => vec![],
        },
        Answer::Read { views } => {
            let views = views.iter();
            views.map(|(key, view)| (*key, view.term)).collect()
        }
        _ => vec![],
    }
}
