//! The words of the schema for `serde`: as the text that they print.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::{ElectionState, WaitingFor};
use crate::operator::{CandidatePlace, HeldLock, Lever, TermEnding};
use crate::words::Word;

struct WordVisitor<W>(PhantomData<W>);

impl<W: Word> Visitor<'_> for WordVisitor<W> {
    type Value = W;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one of ")?;
        let known = W::ALL.iter().map(|word| word.word());
        f.write_str(&known.collect::<Vec<_>>().join(", "))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<W, E> {
        W::read(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

macro_rules! words {
    ($($word:ty),*) => {$(
        impl Serialize for $word {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(WordVisitor(PhantomData))
            }
        }
    )*};
}

words!(
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
    use crate::standing::{ProcessState, Standing};

    #[test]
    fn what_is_written_is_read() {
        let standing = Standing {
            term: 7,
            state: ElectionState::Recovering,
            address: Some("a".to_owned()),
            process: ProcessState::Following,
            waiting_for: Some(WaitingFor::FencedTransactions),
            refusal: Some("why".to_owned()),
        };
        let json = serde_json::to_value(&standing).expect("it is plain");
        let words = [&json["state"], &json["process"], &json["waiting_for"]];
        assert_eq!(words, ["recovering", "following", "fenced transactions"]);
        let read: Standing = serde_json::from_value(json).expect("it was written so");
        assert_eq!(read, standing);
    }

    #[test]
    fn words_of_a_later_schema_are_read() {
        let read = |text| serde_json::from_str::<Lever>(text);
        assert_eq!(read("\"step down\"").ok(), Some(Lever::StepDown));
        assert_eq!(read("\"beseech\"").ok(), Some(Lever::Unknown));
        assert!(serde_json::from_str::<ElectionState>("\"asleep\"").is_err());
    }
}
