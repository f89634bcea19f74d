//! Where a candidacy stands on the rules' own diagram, as the engine itself says.

use std::fmt::Write;

use crate::engine::Key;
use crate::machine::Machine;

/// A place of the diagram in `src/engine`, and whether it is the successor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// There is no such candidacy.
    Gone,
    Absent,
    Joining,
    Following,
    Successor,
    Waiting,
    Leading,
    Ending,
    Leaving,
}

impl Place {
    /// It leads, or may as soon as nobody does.
    pub(super) fn takes_part(self) -> bool {
        matches!(self, Place::Following | Place::Successor | Place::Leading)
    }

    /// A candidacy is there for a short time only.
    pub(super) fn is_seldom(self) -> bool {
        matches!(self, Place::Joining | Place::Waiting | Place::Ending)
    }
}

/// Every change of place that the machine allows from one event to the next.
pub(super) const MOVES: [(Place, Place); 40] = {
    use Place::*;
    [
        (Gone, Absent),
        (Gone, Joining),
        (Absent, Gone),
        (Absent, Joining),
        (Absent, Leaving),
        // Its session was lost while it was leaving.
        (Joining, Gone),
        (Following, Gone),
        (Successor, Gone),
        (Waiting, Gone),
        (Leaving, Gone),
        // Its grace passed while it stood still.
        (Ending, Gone),
        (Joining, Absent),
        (Joining, Following),
        (Joining, Leaving),
        (Following, Absent),
        (Following, Successor),
        (Following, Waiting),
        (Following, Leading),
        (Following, Leaving),
        // The server refuses its tries, or office.
        (Following, Joining),
        (Successor, Joining),
        (Waiting, Joining),
        // A term that began is given up without work, and is vacated with others.
        (Following, Ending),
        (Successor, Ending),
        (Successor, Absent),
        (Successor, Following),
        (Successor, Waiting),
        (Successor, Leading),
        (Successor, Leaving),
        (Waiting, Absent),
        (Waiting, Following),
        (Waiting, Leading),
        (Waiting, Leaving),
        (Leading, Absent),
        (Leading, Following),
        (Leading, Ending),
        (Ending, Absent),
        (Ending, Following),
        (Ending, Leaving),
        (Leaving, Absent),
    ]
};

/// Allowed as well, and too seldom to be waited for: a number was given out again to one of several that took office.
pub(super) const SELDOM: (Place, Place) = (Place::Waiting, Place::Ending);

/// The places of all candidacies of a process. The machine shows them to nobody, but as what it prints.
pub(super) fn places(engine: &dyn Machine, printed: &mut String) -> Vec<(Key, Place)> {
    printed.clear();
    let _ = write!(printed, "{engine:?}");
    let mut pieces = printed.split(": Contender {");
    let mut before = pieces.next().unwrap_or_default();
    let mut places = vec![];
    for piece in pieces {
        places.extend(key(before).zip(place(piece)));
        before = piece;
    }
    places
}

fn key(text: &str) -> Option<Key> {
    let (_, number) = text.rsplit_once("Key(")?;
    number.strip_suffix(')')?.parse().ok().map(Key)
}

fn place(text: &str) -> Option<Place> {
    let (_, text) = text.split_once("place: ")?;
    let name = text.split(|c: char| !c.is_alphanumeric()).next()?;
    Some(match name {
        "Absent" => Place::Absent,
        "Joining" => Place::Joining,
        "Following" if text.starts_with("Following(Following { successor: true") => {
            Place::Successor
        }
        "Following" => Place::Following,
        "Waiting" => Place::Waiting,
        "Leading" => Place::Leading,
        "Ending" => Place::Ending,
        "Leaving" => Place::Leaving,
        _ => return None,
    })
}
