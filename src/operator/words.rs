//! The words by which an operator reads and asks.

use std::fmt;

use crate::words::Word;

/// Words, each with what it prints and what it is called in SQL. The last stands for those of a later schema.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$what:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$what])* $variant,)*
            /// One that only a later schema knows than this build.
            Unknown,
        }

        impl $name {
            /// The word, as SQL and JSON have it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                    $name::Unknown => "unknown",
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Word for $name {
            const ALL: &'static [Self] = &[$($name::$variant,)* $name::Unknown];
            const UNKNOWN: Option<Self> = Some($name::Unknown);

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    };
}

words! {
    /// What a live candidate is in its election: `place` in `pgleader.candidates`.
    CandidatePlace {
        /// It leads.
        Leader = "leader",
        /// It is elected, and the last term's work may still run.
        Waiting = "waiting",
        /// It is next in line.
        Successor = "successor",
        /// None of these.
        Follower = "follower",
    }
}

words! {
    /// A lock of an election: `lock` in `pgleader.strangers`.
    HeldLock {
        /// Nobody else can lead.
        Leadership = "leadership",
        /// The successor's place: nobody else is next in line.
        Succession = "succession",
        /// No term begins, and no fence lets anybody pass.
        Term = "term",
    }
}

words! {
    /// How a term ended: `ending` in `pgleader.history`.
    TermEnding {
        /// Given up by its process.
        Resigned = "resigned",
        /// Given up because an operator asked for it.
        SteppedDown = "stepped down",
        /// Its work returned an error or panicked.
        Failed = "failed",
        /// Lost; its process has said since that the work has stopped.
        Deposed = "deposed",
        /// Lost; its process has not been heard of since.
        Lost = "lost",
    }
}

words! {
    /// What an operator may ask for: `request` in `pgleader.requests` and `pgleader.history`. A resume ends a
    /// suspension and an include an exclusion, so they are no requests of their own.
    Lever {
        /// [`step_down`](super::Operator::step_down).
        StepDown = "step down",
        /// [`transfer`](super::Operator::transfer).
        Transfer = "transfer",
        /// [`suspend`](super::Operator::suspend).
        Suspend = "suspend",
        /// [`exclude`](super::Operator::exclude).
        Exclude = "exclude",
        /// [`depose`](super::Operator::depose).
        Depose = "depose",
    }
}
