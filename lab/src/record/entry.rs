//! A line of the record.

use std::fmt;
use std::str::FromStr;

/// What a process has done, or says of itself; or what was done to it.
///
/// Stamps are in nanoseconds on the library's clock, which all processes of a machine share. Where there are two, what is
/// said was true at an instant between them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of every line")]
pub enum Entry {
    /// The process runs, and its work is of this kind.
    Started { at: u64, work: Work },
    /// It is a candidate from now on.
    Joined { at: u64, election: String },
    /// It is a candidate no more.
    Left { at: u64, election: String },
    /// The work of a term begins, or a step of it: whoever is killed within one leaves this.
    Began {
        at: u64,
        election: String,
        term: i64,
    },
    /// A step of work, from its beginning to its end.
    Step {
        from: u64,
        to: u64,
        election: String,
        term: i64,
    },
    /// The work is over, with all that it has spawned: returned or dropped.
    Stopped {
        at: u64,
        election: String,
        term: i64,
    },
    /// What `is_current()` said on a thread of its own.
    Current {
        from: u64,
        to: u64,
        election: String,
        term: i64,
        yes: bool,
    },
    /// `state()` said on a thread of its own that this process leads.
    Leading {
        from: u64,
        to: u64,
        election: String,
    },
    /// The address of a term's leader is known here.
    Heard {
        at: u64,
        election: String,
        term: i64,
        address: String,
    },
    /// A fenced transaction has begun.
    Fences {
        at: u64,
        election: String,
        term: i64,
    },
    /// A fenced transaction has committed: its client was told so.
    Wrote {
        at: u64,
        election: String,
        term: i64,
        sequence: i64,
    },
    /// The fence has refused a transaction.
    Refused {
        at: u64,
        election: String,
        term: i64,
    },
    /// The process has shut down in order.
    Ended { at: u64 },
    /// No thread of the process runs any more, as after SIGSTOP. Written by whoever has stopped it.
    Halted { at: u64 },
    /// It is about to be woken. Written by whoever wakes it.
    Woken { at: u64 },
}

impl Entry {
    /// The line of a process, without its end. An election may be named as it likes, an address has no spaces.
    pub fn line(&self, address: &str) -> String {
        match self {
            Entry::Started { at, work } => format!("started {address} {at} {work}"),
            Entry::Joined { at, election } => format!("joined {address} {at} {election}"),
            Entry::Left { at, election } => format!("left {address} {at} {election}"),
            Entry::Began { at, election, term } => {
                format!("began {address} {at} {term} {election}")
            }
            Entry::Step {
                from,
                to,
                election,
                term,
            } => format!("step {address} {from} {to} {term} {election}"),
            Entry::Stopped { at, election, term } => {
                format!("stopped {address} {at} {term} {election}")
            }
            Entry::Current {
                from,
                to,
                election,
                term,
                yes,
            } => format!("current {address} {from} {to} {term} {yes} {election}"),
            Entry::Leading { from, to, election } => {
                format!("leading {address} {from} {to} {election}")
            }
            Entry::Heard {
                at,
                election,
                term,
                address: leader,
            } => format!("heard {address} {at} {term} {leader} {election}"),
            Entry::Fences { at, election, term } => {
                format!("fences {address} {at} {term} {election}")
            }
            Entry::Wrote {
                at,
                election,
                term,
                sequence,
            } => format!("wrote {address} {at} {term} {sequence} {election}"),
            Entry::Refused { at, election, term } => {
                format!("refused {address} {at} {term} {election}")
            }
            Entry::Ended { at } => format!("ended {address} {at}"),
            Entry::Halted { at } => format!("halted {address} {at}"),
            Entry::Woken { at } => format!("woken {address} {at}"),
        }
    }

    /// The address and what it has written; `None` where this is no line.
    pub fn parse(line: &str) -> Option<(&str, Entry)> {
        let (what, rest) = line.split_once(' ')?;
        let (address, rest) = rest.split_once(' ')?;
        Some((address, Entry::of(what, Words(Some(rest)))?))
    }

    /// The election is the last word, and may have spaces. What follows it here is read before it.
    fn of(what: &str, mut words: Words) -> Option<Entry> {
        let at = words.next()?;
        let entry = match what {
            "started" => Entry::Started {
                at,
                work: words.next()?,
            },
            "joined" => Entry::Joined {
                at,
                election: words.rest()?,
            },
            "left" => Entry::Left {
                at,
                election: words.rest()?,
            },
            "began" => Entry::Began {
                at,
                term: words.next()?,
                election: words.rest()?,
            },
            "step" => Entry::Step {
                from: at,
                to: words.next()?,
                term: words.next()?,
                election: words.rest()?,
            },
            "stopped" => Entry::Stopped {
                at,
                term: words.next()?,
                election: words.rest()?,
            },
            "current" => Entry::Current {
                from: at,
                to: words.next()?,
                term: words.next()?,
                yes: words.next()?,
                election: words.rest()?,
            },
            "leading" => Entry::Leading {
                from: at,
                to: words.next()?,
                election: words.rest()?,
            },
            "heard" => Entry::Heard {
                at,
                term: words.next()?,
                address: words.next()?,
                election: words.rest()?,
            },
            _ => return Entry::of_a_fence_or_an_end(what, at, words),
        };
        Some(entry)
    }

    fn of_a_fence_or_an_end(what: &str, at: u64, mut words: Words) -> Option<Entry> {
        let entry = match what {
            "fences" => Entry::Fences {
                at,
                term: words.next()?,
                election: words.rest()?,
            },
            "wrote" => Entry::Wrote {
                at,
                term: words.next()?,
                sequence: words.next()?,
                election: words.rest()?,
            },
            "refused" => Entry::Refused {
                at,
                term: words.next()?,
                election: words.rest()?,
            },
            "ended" => Entry::Ended { at },
            "halted" => Entry::Halted { at },
            "woken" => Entry::Woken { at },
            _ => return None,
        };
        Some(entry)
    }
}

/// What is left of a line.
struct Words<'a>(Option<&'a str>);

impl Words<'_> {
    fn next<T: FromStr>(&mut self) -> Option<T> {
        let text = self.0.take()?;
        let (word, rest) = match text.split_once(' ') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        self.0 = rest;
        word.parse().ok()
    }

    fn rest(&mut self) -> Option<String> {
        self.0.take().map(ToOwned::to_owned)
    }
}

/// What the work of a process is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// One step after the other. It asks for nothing, neither the clock nor whether it is over, and only being dropped
    /// ends it.
    #[default]
    Plain,
    /// It waits to be told of its end, and then takes its time, as far as it is given any.
    Listens,
    /// On a thread of its own, by `Term::spawn_blocking`: before each step it asks whether it shall end.
    Blocks,
    /// It computes all the time, and lets others run now and then.
    Spins,
    /// Two tasks, by `Term::spawn`: one that is plain and one that listens.
    Spawns,
    /// It costs nothing, and writes nothing down.
    Idle,
}

impl Work {
    const ALL: [Work; 6] = [
        Work::Plain,
        Work::Listens,
        Work::Blocks,
        Work::Spins,
        Work::Spawns,
        Work::Idle,
    ];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Work::Plain => "plain",
            Work::Listens => "listens",
            Work::Blocks => "blocks",
            Work::Spins => "spins",
            Work::Spawns => "spawns",
            Work::Idle => "idle",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(name: &str) -> Result<Work, String> {
        let mut all = Work::ALL.into_iter();
        all.find(|work| work.name() == name)
            .ok_or_else(|| format!("no such work: {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each.
    fn entries(election: &str) -> [Entry; 15] {
        let (at, from, to, term, work) = (7, 8, 9, 10, Work::Spins);
        let election = || election.to_owned();
        [
            Entry::Started { at, work },
            Entry::Joined {
                at,
                election: election(),
            },
            Entry::Left {
                at,
                election: election(),
            },
            Entry::Began {
                at,
                election: election(),
                term,
            },
            Entry::Step {
                from,
                to,
                election: election(),
                term,
            },
            Entry::Stopped {
                at,
                election: election(),
                term,
            },
            Entry::Current {
                from,
                to,
                election: election(),
                term,
                yes: true,
            },
            Entry::Leading {
                from,
                to,
                election: election(),
            },
            Entry::Heard {
                at,
                election: election(),
                term,
                address: "b:1".to_owned(),
            },
            Entry::Fences {
                at,
                election: election(),
                term,
            },
            Entry::Wrote {
                at,
                election: election(),
                term,
                sequence: -3,
            },
            Entry::Refused {
                at,
                election: election(),
                term,
            },
            Entry::Ended { at },
            Entry::Halted { at },
            Entry::Woken { at },
        ]
    }

    #[test]
    fn each_line_is_read_as_it_was_written() {
        for election in ["billing", "a name of words", ""] {
            for entry in entries(election) {
                let line = entry.line("a:1");
                assert_eq!(Entry::parse(&line), Some(("a:1", entry)), "{line}");
            }
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in [
            "",
            "hello",
            "began a",
            "began a b 1 x",
            "step a 1 2",
            "rests a 1",
        ] {
            assert_eq!(Entry::parse(line), None, "{line}");
        }
    }
}
