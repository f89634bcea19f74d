//! How an election stands, for everybody to read without waiting.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::Instant;
pub use crate::engine::{ElectionState, WaitingFor};
use crate::session::hands::{Hands, isolated};
use crate::term::TermState;

/// What a process is in an election. Reads what it prints:
///
/// ```
/// use pg_leader::ProcessState;
///
/// assert_eq!(ProcessState::Leading.to_string(), "leading");
/// assert_eq!("recovering".parse(), Ok(ProcessState::Recovering));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// Not the leader.
    #[default]
    Following,
    /// Elected, and still catching up: its work has not called [`Term::ready`](crate::Term::ready) yet.
    Recovering,
    /// The leader.
    Leading,
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ProcessState::Following => "following",
            ProcessState::Recovering => "recovering",
            ProcessState::Leading => "leading",
        })
    }
}

/// The text is no state of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is none of following, recovering and leading")]
pub struct ParseStateError(String);

impl FromStr for ProcessState {
    type Err = ParseStateError;

    fn from_str(text: &str) -> Result<Self, ParseStateError> {
        match text {
            "following" => Ok(ProcessState::Following),
            "recovering" => Ok(ProcessState::Recovering),
            "leading" => Ok(ProcessState::Leading),
            other => Err(ParseStateError(other.to_owned())),
        }
    }
}

/// Why there is no address of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nobody leads.
    #[error("nobody leads")]
    NoLeader,
    /// This process cannot know now: it has no session, or has not read yet.
    #[error("who leads is not known now: there is no session to the database")]
    Unknown,
}

/// How an election stands, as this process knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The newest term, 0 before the first.
    pub term: u64,
    /// What the election is in.
    pub state: ElectionState,
    /// The leader's address.
    pub address: Option<String>,
    /// What this process is in it.
    pub process: ProcessState,
    /// What stands in the way of its leading, beside another's leading. Of an observer: what stands in
    /// everybody's way, as far as operators have put it there.
    pub waiting_for: Option<WaitingFor>,
}

/// The same, with what readers must check for themselves.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The term that this process leads, while it is in office.
    pub(crate) own: Option<Arc<TermState>>,
    pub(crate) term: u64,
    pub(crate) state: ElectionState,
    pub(crate) address: Option<Arc<str>>,
    pub(crate) waiting_for: Option<WaitingFor>,
    /// After this nothing is known.
    pub(crate) known_until: Instant,
}

impl Snapshot {
    fn standing(&self) -> Standing {
        let own = self.own.as_ref();
        Standing {
            term: self.term,
            state: self.state,
            address: self.address.as_deref().map(str::to_owned),
            process: own.map_or(ProcessState::Following, |term| term.process_state()),
            waiting_for: self.waiting_for,
        }
    }
}

/// An election as all handles of this process share it. The driver writes; readers take no lock.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    snapshot: ArcSwap<Snapshot>,
    changes: watch::Sender<Standing>,
    /// What was published last is yet to be announced.
    unannounced: AtomicBool,
    hands: Hands,
    /// Cancelled when the elector has ended: nothing changes any more.
    done: CancellationToken,
}

impl Shared {
    pub(crate) fn new(name: String, hands: Hands, done: CancellationToken) -> Self {
        Shared {
            name,
            snapshot: ArcSwap::default(),
            changes: watch::Sender::new(Standing::default()),
            unannounced: AtomicBool::new(false),
            hands,
            done,
        }
    }

    /// Whoever looks finds it from here on. Those who wait are woken by other hands.
    pub(crate) fn publish(self: &Arc<Self>, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        if !self.unannounced.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(self);
            self.hands.wake(move || shared.announce());
        }
    }

    /// Nothing is known any more.
    pub(crate) fn forget(self: &Arc<Self>) {
        let term = self.term();
        self.publish(Snapshot {
            term,
            ..Snapshot::default()
        });
    }

    fn announce(&self) {
        // Before it is read: what is published from here on is announced once more.
        self.unannounced.store(false, Ordering::Release);
        self.changes.send_if_modified(|last| {
            let standing = self.snapshot.load().standing();
            let changed = *last != standing;
            *last = standing;
            changed
        });
    }

    pub(crate) fn process_state(&self) -> ProcessState {
        let snapshot = self.snapshot.load();
        snapshot
            .own
            .as_ref()
            .map_or(ProcessState::Following, |term| term.process_state())
    }

    pub(crate) fn term(&self) -> u64 {
        self.snapshot.load().term
    }

    pub(crate) fn election_state(&self) -> ElectionState {
        let snapshot = self.snapshot.load();
        match &snapshot.own {
            Some(own) if own.is_current() => match own.process_state() {
                ProcessState::Recovering => ElectionState::Recovering,
                _ => ElectionState::Leading,
            },
            Some(_) => ElectionState::Unknown,
            None if clock::now() < snapshot.known_until => snapshot.state,
            None => ElectionState::Unknown,
        }
    }

    pub(crate) fn address(&self) -> Result<String, AddressError> {
        let snapshot = self.snapshot.load();
        let known = match &snapshot.own {
            Some(own) => own.is_current(),
            None => clock::now() < snapshot.known_until && snapshot.state != ElectionState::Unknown,
        };
        match &snapshot.address {
            _ if !known => Err(AddressError::Unknown),
            Some(address) => Ok(address.as_ref().to_owned()),
            None => Err(AddressError::NoLeader),
        }
    }

    /// Every standing from now on, the present one first; a slow reader misses those between.
    pub(crate) fn changes(&self) -> impl Stream<Item = Standing> + Send + Unpin + use<> {
        let mut receiver = self.changes.subscribe();
        receiver.mark_changed();
        let (done, hands) = (self.done.clone(), self.hands.clone());
        Box::pin(stream::unfold(receiver, move |mut receiver| {
            let (done, hands) = (done.clone(), hands.clone());
            let changed = async move {
                tokio::select! {
                    biased;
                    changed = receiver.changed() => changed.ok()?,
                    () = done.cancelled() => return None,
                }
                let standing = receiver.borrow_and_update().clone();
                Some((standing, receiver))
            };
            isolated(hands, changed)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_state_reads_what_it_prints() {
        for state in [
            ProcessState::Following,
            ProcessState::Recovering,
            ProcessState::Leading,
        ] {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        assert!("Leading".parse::<ProcessState>().is_err());
    }

    #[test]
    fn what_was_read_is_believed_for_a_time_only() {
        let hands = Hands::start(2).unwrap();
        let shared = Arc::new(Shared::new("e".to_owned(), hands, CancellationToken::new()));
        assert_eq!(shared.address(), Err(AddressError::Unknown));
        let known = |known_until| Snapshot {
            term: 1,
            state: ElectionState::Leading,
            address: Some("a".into()),
            waiting_for: None,
            known_until,
            own: None,
        };
        shared.publish(known(Instant::NEVER));
        assert_eq!(shared.address(), Ok("a".to_owned()));
        shared.publish(known(clock::now()));
        assert_eq!(shared.address(), Err(AddressError::Unknown));
        assert_eq!(shared.election_state(), ElectionState::Unknown);
    }
}
