//! Everything that a process decides: without I/O, clock, async or thread, and with nothing but `std`.
//!
//! An [`Engine`] is everything that one process knows of its elections. Inputs and `now` go in
//! ([`Engine::handle`]); outputs come out ([`Engine::poll`]), and the time at which it wants to be woken at the latest
//! ([`Engine::poll_timeout`]). Whoever drives it does what comes out in its order, and brings in what happens: the
//! driver (`src/driver`), and the simulator and the model checker in `proof/`, by this very source.
//!
//! Inside it are the rules of the election, a [`Process`], by key: an event goes in, actions come out. Around them the
//! engine knows what only names something or outlives them: the names, addresses and ids of elections, the handles that
//! wait, the requests in flight, and what a term owes (`desk.rs`). A query of the rules becomes a [`Request`] by ids, and
//! its [`Answer`] a [`Reply`] by keys (`asking.rs`); their actions become outputs (`act.rs`). What drives it may fail and
//! go on, and so may the rules (`restart.rs`).
//!
//! # One candidacy
//!
//! ```text
//!             join                    the lock is held: retry, or probe as the successor
//!   absent ----------> following <---------------------------------------------+
//!     ^                 |     |                                                |
//!     |          won, the     | won, and the last term                         |
//!     |          old work     | was vacated                                    |
//!     |          may run      |                                                |
//!     |                 v     |                                                |
//!     |             waiting --+-> leading ---------------> ending -------------+
//!     |   refractory period,       |   lead returned,        |  the work has stopped:
//!     |   or the autopsy, or       |   resign, step down     |  vacate, unlock, notify
//!     |   a vacate                 |                         |
//!     +----------------------------+-------------------------+
//!         the session is lost, or no answer for 0.75 L: deposed. Once the work
//!         has stopped the term is vacated from the next session.
//! ```
//!
//! # Deadlines
//!
//! With *contact* the sending of the last request that was answered on this session, and L the lease:
//!
//! ```text
//!   deposed     contact + 0.75 L      irrevocable: looked at before every event
//!   dropped     contact + 0.85 L      (in an orderly end: its beginning + grace, if sooner)
//!   aborted     contact + 0.95 L
//!   takes office, at the latest       receipt of the answer that won + L of the last term
//! ```
//!
//! The first three are looked at without this machine and its driver too, by the work before each of its steps and
//! by threads that do nothing else (`src/work/watch.rs`), all by one rule ([`Leash`]). Its outputs `Cancel`, `Drop` and
//! `Abort` are what is left for it to say: orderly ends and their grace.
//!
//! # What a server has forgotten
//!
//! A process remembers the greatest term that it was told of ([`Heard`]), whatever becomes of its sessions and
//! candidacies, tells every server of it, and works on none at or below it. A server that knows less begins
//! its next term above, in the next block of numbers, and not before the work of the forgotten one is over;
//! the same goes for a last term of another timeline, since a later one may be lost:
//!
//! ```text
//!   takes office, at the earliest     receipt of the proof that this server is the primary
//!                                     + the longest lease on record, or heard of
//! ```
//!
//! Nothing that the server shows is about that work, so no evidence shortens it.
//!
//! # Several hosts that accept writes
//!
//! The engine says when they are to be looked at (`Output::Look`), and makes of what was seen (`Input::Looked`,
//! `rivals.rs`) whether there are any, whether one comes before this one, and what is led there or may be. The first bars
//! every beginning but in the moment of a look, the second ends the session and with it all terms, the last bars its
//! elections.
//!
//! # Whose turn it is
//!
//! The database says with each try, look and taking of office whether this candidate may lead ([`Bar`]) and
//! whether it is its turn. Who may not lead tries for nothing, gives up the successor's place and, if it has
//! won already, the lock. Who is outranked makes way for four probe intervals; when nobody has come by then it
//! insists on the place for a retry interval, so that a candidate that ranks high and hangs prolongs nothing
//! for long (invariant 6). To a leader all levers are one: an order to step down, read with a heartbeat.
//!
//! # Invariants
//!
//! Cited by number in code and tests.
//!
//! 1. At most one process runs an election's work at any instant, whatever the order of losses, delays,
//!    pauses and restarts, clocks differing in rate by up to 5 %. Assumed: one writable primary (of several that
//!    are seen none begins what is led on another, and who is on an older timeline leaves at its next look;
//!    `docs/design.md` says how long two may overlap), and nobody
//!    on the path of a direct connection forges resets or ends it in the process's name: a transparent
//!    proxy that keeps both ends of a path cannot be told. Not covered, and left to the fence: the
//!    instructions that a process runs between waking from a stop and looking at its clock; a machine
//!    whose clock stood still; work that cannot be dropped, without `Overrun::Abort`.
//! 2. Terms strictly increase, across restarts and failovers of the database too; where promotions are thrown
//!    away, above every term that anybody has heard of who lives and takes part.
//! 3. No transaction fenced by term T commits after a later term has begun.
//! 4. An orderly release never precedes the end of the work.
//! 5. What `state()` and `is_current()` say is true without waiting for any task to run.
//! 6. While the database is reachable and a candidate lives, some candidate leads within bounds; nothing
//!    that a follower, observer or stranger does can prolong that, short of taking the lock.
//! 7. In the steady state nothing is written to disk, and the database's work does not grow with the
//!    number of elections that a process holds.
//! 8. No loss of session, schema error or bad notification ends the candidacy.

mod act;
mod answer;
mod asking;
mod bar;
mod batch;
mod candidacy;
mod desk;
mod display;
mod evidence;
mod handle;
mod ids;
mod input;
mod jitter;
mod leash;
mod looking;
mod lookout;
mod message;
mod notice;
mod output;
mod process;
mod request;
mod restart;
mod rivals;
mod sight;
mod state;
mod time;
mod timings;

#[cfg(test)]
mod tests;

pub(crate) use answer::{
    Answer, Asked, Campaigned, Counters, Evicted, FencedEnded, Found, Heard, Held, Joined, Office,
    Refused, Row, StepDown, Taken, Told, Try, View, Won,
};
pub(crate) use bar::Bar;
pub(crate) use display::{Display, Displays, Published};
pub(crate) use handle::Engine;
pub(crate) use ids::{Id, Key};
pub(crate) use input::{Candidature, Input, Notification, Setup};
pub(crate) use jitter::Jitter;
pub use leash::{Demand, Leash};
pub(crate) use message::{Action, Errand, Event, Query, Reply, Stop, Taking};
pub(crate) use notice::{Muddle, Notice};
pub(crate) use output::Output;
pub(crate) use process::Process;
pub(crate) use request::{Bid, Ending, Join, Request, Slice, TakeOffice, Vacate};
pub(crate) use sight::{Led, Missed, Search, Server, Sight, Surroundings, Survey, best};
pub use state::{ElectionState, WaitingFor};
pub use time::Instant;
pub(crate) use timings::Timings;
