//! Why a request has no answer.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::SqlState;

/// A function has met a session that is not its caller's own.
const NOT_ITS_OWN: &str = "PL003";

/// A request that was refused, or answered with what makes no sense.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The server refuses, or the session is gone.
    Session {
        doing: &'static str,
        source: tokio_postgres::Error,
    },
    /// A pooler hands statements to sessions that are not ours, or our session to others.
    Pooler {
        why: String,
        source: tokio_postgres::Error,
    },
    /// An answer that makes no sense.
    Unexpected(String),
}

impl Unanswered {
    pub(super) fn of(doing: &'static str, source: tokio_postgres::Error) -> Unanswered {
        match source.as_db_error() {
            Some(db) if db.code().code() == NOT_ITS_OWN => Unanswered::Pooler {
                why: db.message().to_owned(),
                source,
            },
            _ => Unanswered::Session { doing, source },
        }
    }

    /// The server's lock table is full.
    pub(super) fn is_for_want_of_room(&self) -> bool {
        let Unanswered::Session { source, .. } = self else {
            return false;
        };
        source.code() == Some(&SqlState::OUT_OF_MEMORY)
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Session { doing, source } => {
                match (source.as_db_error(), source.source()) {
                    (Some(db), _) => {
                        let (message, state) = (db.message(), db.code().code());
                        write!(f, "{doing}: {message} (SQLSTATE {state})")
                    }
                    (None, Some(cause)) => write!(f, "{doing}: {source}: {cause}"),
                    (None, None) => write!(f, "{doing}: {source}"),
                }
            }
            Unanswered::Pooler { why, .. } => f.write_str(why),
            Unanswered::Unexpected(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Unanswered::Session { source, .. } | Unanswered::Pooler { source, .. } => Some(source),
            Unanswered::Unexpected(_) => None,
        }
    }
}
