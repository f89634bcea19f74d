//! What crosses to the database as a type of its own: a term as its number, and the words of the schema.

use std::error::Error;

use bytes::BytesMut;
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::engine::{ElectionState, Ending, WaitingFor};
use crate::operator::{CandidatePlace, HeldLock, Lever, TermEnding};
use crate::term::Term;
use crate::words::Word;

type SqlError = Box<dyn Error + Sync + Send>;

/// As its [number](Term::number), a `bigint`.
impl ToSql for Term {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
        self.number().to_sql(of, out)
    }

    accepts!(INT8);

    to_sql_checked!();
}

/// Words go as text.
macro_rules! words_go {
    ($($word:ty),*) => {$(
        impl ToSql for $word {
            fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
                self.word().to_sql(of, out)
            }

            fn accepts(of: &Type) -> bool {
                <&str as ToSql>::accepts(of)
            }

            to_sql_checked!();
        }
    )*};
}

/// And come as text.
macro_rules! words_come {
    ($($word:ty),*) => {$(
        impl<'a> FromSql<'a> for $word {
            fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, SqlError> {
                let text = <&str>::from_sql(of, raw)?;
                Self::read(text).ok_or_else(|| format!("\"{text}\" is not known here").into())
            }

            fn accepts(of: &Type) -> bool {
                <&str as FromSql>::accepts(of)
            }
        }
    )*};
}

words_go!(
    ElectionState,
    WaitingFor,
    CandidatePlace,
    HeldLock,
    TermEnding,
    Lever,
    Ending
);
words_come!(
    ElectionState,
    WaitingFor,
    CandidatePlace,
    HeldLock,
    TermEnding,
    Lever
);

#[cfg(test)]
mod tests {
    use super::*;

    fn crosses_both_ways<W: Word + ToSql + for<'a> FromSql<'a> + PartialEq + std::fmt::Debug>() {
        for &word in W::ALL {
            let mut sent = BytesMut::new();
            word.to_sql(&Type::TEXT, &mut sent).expect("it is text");
            assert_eq!(W::from_sql(&Type::TEXT, &sent).expect("it is known"), word);
        }
        assert!(<W as ToSql>::accepts(&Type::TEXT) && <W as FromSql>::accepts(&Type::NAME));
        assert!(!<W as ToSql>::accepts(&Type::INT8) && !<W as FromSql>::accepts(&Type::INT8));
        let later = W::from_sql(&Type::TEXT, b"what a later schema says");
        assert_eq!(later.ok(), W::UNKNOWN);
    }

    #[test]
    fn words_cross_both_ways() {
        crosses_both_ways::<ElectionState>();
        crosses_both_ways::<WaitingFor>();
        crosses_both_ways::<CandidatePlace>();
        crosses_both_ways::<HeldLock>();
        crosses_both_ways::<TermEnding>();
        crosses_both_ways::<Lever>();
    }

    #[test]
    fn how_a_process_ends_its_term_is_read_by_others() {
        for &ending in Ending::ALL {
            let read = TermEnding::read(ending.word()).expect("it is a word");
            assert!(read != TermEnding::Unknown && read.as_str() == ending.word());
        }
    }
}
