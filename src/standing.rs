//! How an election stands, for everybody to read without waiting.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::Instant;
pub use crate::engine::{ElectionState, WaitingFor};
use crate::foreign::hands::{Hands, isolated};
pub use crate::process_state::{ParseStateError, ProcessState};
use crate::work::term_state::TermState;

/// Why there is no address of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AddressError {
    /// Nobody leads.
    NoLeader,
    /// This process cannot know now: it has no session, or has not read yet.
    Unknown,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::NoLeader => f.write_str("nobody leads"),
            AddressError::Unknown => {
                f.write_str("who leads is not known now: there is no session to the database")
            }
        }
    }
}

impl std::error::Error for AddressError {}

/// How an election stands, as this process knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Standing {
    /// The newest term, 0 before the first.
    pub term: i64,
    /// What the election is in.
    pub state: ElectionState,
    /// The leader's address.
    pub address: Option<String>,
    /// What this process is in it.
    pub process: ProcessState,
    /// What stands in the way of its leading, beside another's leading. Of an observer: what stands in
    /// everybody's way, as far as operators have put it there.
    pub waiting_for: Option<WaitingFor>,
    /// Why the server refuses what this process asks of this election, and of no other, in its words.
    #[cfg_attr(feature = "serde", serde(default))]
    pub refusal: Option<String>,
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
    pub(crate) refusal: Option<Arc<str>>,
    /// After this nothing is known.
    pub(crate) known_until: Instant,
}

impl Snapshot {
    fn standing(&self) -> Standing {
        Standing {
            term: self.term.cast_signed(),
            state: self.state(),
            address: self.address().ok(),
            process: self.process(),
            waiting_for: self.waiting_for,
            refusal: self.refusal.as_ref().map(|why| why.as_ref().to_owned()),
        }
    }

    fn process(&self) -> ProcessState {
        let own = self.own.as_ref();
        own.map_or(ProcessState::Following, |term| term.process_state())
    }

    fn state(&self) -> ElectionState {
        match &self.own {
            Some(own) => match own.process_state() {
                ProcessState::Leading => ElectionState::Leading,
                ProcessState::Recovering => ElectionState::Recovering,
                // Its deadline has passed: another may lead.
                ProcessState::Following => ElectionState::Unknown,
            },
            None if clock::now() < self.known_until => self.state,
            None => ElectionState::Unknown,
        }
    }

    fn address(&self) -> Result<String, AddressError> {
        match &self.address {
            _ if self.state() == ElectionState::Unknown => Err(AddressError::Unknown),
            Some(address) => Ok(address.as_ref().to_owned()),
            None => Err(AddressError::NoLeader),
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
        self.snapshot.load().process()
    }

    pub(crate) fn term(&self) -> i64 {
        self.snapshot.load().term.cast_signed()
    }

    pub(crate) fn election_state(&self) -> ElectionState {
        self.snapshot.load().state()
    }

    pub(crate) fn address(&self) -> Result<String, AddressError> {
        self.snapshot.load().address()
    }

    pub(crate) fn changes(self: &Arc<Self>) -> Changes {
        let mut receiver = self.changes.subscribe();
        receiver.mark_changed();
        let (done, hands) = (self.done.clone(), self.hands.clone());
        let stream = stream::unfold(receiver, move |mut receiver| {
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
        });
        Changes {
            shared: Arc::clone(self),
            stream: Box::pin(stream),
        }
    }
}

/// What an election does, from [`Candidacy::changes`](crate::Candidacy::changes) or
/// [`Observer::changes`](crate::Observer::changes): a [`Stream`] of how it stands when this was made, then of every
/// change, also of what this process cannot know any more. A slow reader misses those that others have overtaken,
/// never the last one. It ends with the elector, and does not keep it alive; nor does it keep the election followed: once
/// no candidacy and no observer of it is left here, nothing changes any more.
///
/// Waiting for the next one is cancel safe: a change that nobody has waited for is not lost.
///
/// ```no_run
/// # async fn example(observer: pg_leader::Observer) {
/// use futures_util::StreamExt;
/// use pg_leader::ElectionState;
///
/// let mut changes = observer.changes();
/// while changes.current().state != ElectionState::Leading {
///     if changes.next().await.is_none() {
///         return; // The elector has ended.
///     }
/// }
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct Changes {
    shared: Arc<Shared>,
    stream: Pin<Box<dyn Stream<Item = Standing> + Send>>,
}

impl Changes {
    /// How the election stands *now*, whatever of it was read from the stream. No query, no waiting.
    pub fn current(&self) -> Standing {
        self.shared.snapshot.load().standing()
    }
}

impl Stream for Changes {
    type Item = Standing;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Standing>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("election", &self.shared.name)
            .field("current", &self.current())
            .finish_non_exhaustive()
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
            refusal: None,
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
