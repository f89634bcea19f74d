//! A term of leadership, as its work sees it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::protocol::{Instant, Key};
use crate::session::Command;
use crate::standing::ProcessState;

/// Until when the terms of a session are current. Zero once they are not any more, which is for good:
/// whoever sees the deadline pass ends it, so that no reader can see it come back (invariant 5).
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU64);

impl Pulse {
    /// Extend to `until`. False when the deadline has passed before.
    pub(crate) fn extend(&self, until: Instant) -> bool {
        let last = self.0.load(Ordering::Acquire);
        let first = last == 0;
        if first || Instant::from_nanos(last) >= until {
            return !first;
        }
        self.0
            .compare_exchange(last, until.as_nanos(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(crate) fn new(until: Instant) -> Self {
        Pulse(AtomicU64::new(until.as_nanos()))
    }

    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn remaining(&self) -> Duration {
        let until = self.0.load(Ordering::Acquire);
        let now = clock::now();
        let remaining = Instant::from_nanos(until).since(now);
        if remaining.is_zero() && until != 0 {
            // An extension may have come in between; then the term goes on.
            let passed = self
                .0
                .compare_exchange(until, 0, Ordering::AcqRel, Ordering::Acquire);
            if passed.is_err() {
                return Instant::from_nanos(self.0.load(Ordering::Acquire)).since(now);
            }
        }
        remaining
    }
}

/// What the driver and the handles of one term share.
#[derive(Debug)]
pub(crate) struct TermState {
    pub(crate) number: u64,
    pub(crate) token: Arc<str>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) ready: AtomicBool,
    /// The work has stopped.
    pub(crate) over: AtomicBool,
    /// The work has asked to be told, so it may be given time.
    pub(crate) listens: AtomicBool,
    /// The socket of the session, as long as the work or the session lives.
    pub(crate) socket: Weak<OwnedFd>,
    /// The work should stop.
    pub(crate) ends: AtomicBool,
    /// The same, for those who wait for it; later, since waking them is not the driver's to do.
    pub(crate) cancelled: CancellationToken,
}

impl TermState {
    pub(crate) fn is_current(&self) -> bool {
        !self.over.load(Ordering::Acquire) && !self.pulse.remaining().is_zero()
    }

    pub(crate) fn process_state(&self) -> ProcessState {
        if !self.is_current() {
            ProcessState::Following
        } else if self.ready.load(Ordering::Acquire) {
            ProcessState::Leading
        } else {
            ProcessState::Recovering
        }
    }
}

/// One period of leadership, given to the work that runs in it. Cheap to clone; a clone that outlives the
/// term is harmless, and does not keep the elector alive.
#[derive(Clone)]
pub struct Term {
    pub(crate) election: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) key: Key,
    pub(crate) state: Arc<TermState>,
    pub(crate) commands: UnboundedSender<Command>,
}

impl Term {
    /// The fencing token: greater than that of every term before, also across restarts and failovers of
    /// the database. Pass it along with what you write, and refuse smaller ones.
    pub fn number(&self) -> u64 {
        self.state.number
    }

    /// What tells this term from any other, also from one with the same number: a random UUID as text.
    ///
    /// Two standbys promoted one after the other may give out the same [`number`](Term::number) where nobody is
    /// left who remembers the first. [`fence`](Term::fence) compares both. The token has no order, and authorises
    /// nothing: it may go where the number goes.
    ///
    /// ```
    /// fn fence(term: &pg_leader::Term) -> String {
    ///     let (election, number, token) = (term.election(), term.number(), term.token());
    ///     format!("SELECT pgleader.fence('{election}', {number}, '{token}')")
    /// }
    /// ```
    pub fn token(&self) -> &str {
        &self.state.token
    }

    /// The election's name.
    pub fn election(&self) -> &str {
        &self.election
    }

    /// The address with which this process campaigned.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the term is current *now*. True without waiting for any task to run: it compares the
    /// deadline itself, and touches neither lock nor database. Once false it stays false.
    ///
    /// It is about being lost. In an orderly end (resigning, stepping down, shutdown) the leadership is kept
    /// until the work has stopped, so this stays true until then: work that is not dropped by itself, since
    /// it blocks its thread, must ask [`is_ending`](Term::is_ending) or wait for [`deposed`](Term::deposed).
    ///
    /// Between this and what you do next any time may pass; only the database can refuse a late write.
    pub fn is_current(&self) -> bool {
        self.state.is_current()
    }

    /// For how long the term is current if no further heartbeat is answered; zero when it is over.
    pub fn remaining(&self) -> Duration {
        if self.state.over.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        self.state.pulse.remaining()
    }

    /// Resolves when the work should stop: the term is lost, or is being given up in order.
    ///
    /// Work that has asked for this, or [`is_ending`](Term::is_ending), is given time to stop by itself: until
    /// the grace is over in an orderly end, until 0.85 of the lease when the term is lost. Work that never
    /// asked is dropped at once. So ask before the first thing that must not be cut off:
    ///
    /// ```
    /// async fn lead(term: pg_leader::Term) -> Result<(), std::io::Error> {
    ///     let mut deposed = std::pin::pin!(term.deposed());
    ///     term.ready();
    ///     loop {
    ///         tokio::select! {
    ///             () = &mut deposed => return Ok(()),
    ///             piece = next_piece() => finish(piece?).await?,
    ///         }
    ///     }
    /// }
    /// # async fn next_piece() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn finish(_: ()) -> Result<(), std::io::Error> { Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it may be dropped and called again.
    pub fn deposed(&self) -> impl Future<Output = ()> + Send + use<> {
        self.state.listens.store(true, Ordering::Release);
        self.state.cancelled.clone().cancelled_owned()
    }

    /// Whether the work should stop: the question to which [`deposed`](Term::deposed) waits for a yes, for
    /// work that looks from time to time, also on a thread that blocks. In an orderly end the term is still
    /// current while its work stops, so [`is_current`](Term::is_current) does not tell.
    ///
    /// ```
    /// async fn lead(term: pg_leader::Term) -> Result<(), tokio::task::JoinError> {
    ///     term.ready();
    ///     let work = tokio::task::spawn_blocking(move || {
    ///         while !term.is_ending() {
    ///             // A small piece, much shorter than a tenth of the lease: what runs on a thread of its
    ///             // own goes on when `lead` is dropped.
    ///             std::thread::sleep(std::time::Duration::from_millis(10));
    ///         }
    ///     });
    ///     work.await
    /// }
    /// ```
    pub fn is_ending(&self) -> bool {
        self.state.listens.store(true, Ordering::Release);
        self.state.ends.load(Ordering::Acquire) || !self.is_current()
    }

    /// The work has recovered: from `Recovering` to `Leading`. Does nothing the second time.
    pub fn ready(&self) {
        if !self.state.ready.swap(true, Ordering::AcqRel) {
            let command = Command::Ready {
                key: self.key,
                term: self.state.number,
            };
            // Without a driver there is no term to be ready for.
            let _ = self.commands.send(command);
        }
    }

    /// A duplicate of the descriptor of the session's socket, for work that runs in processes of its own.
    ///
    /// When a process dies the kernel closes its sockets, and on a direct connection that tells the next
    /// leader that the work has stopped. Work in other processes may outlive this one. Let each of them
    /// inherit this descriptor (it is close-on-exec): then the connection stays open exactly as long as any of
    /// them lives, and nobody leads at once in their place. It gives them no longer than that: after a lease
    /// of silence the next term begins all the same, so see to it that they end when this process does.
    ///
    /// Never read it, write to it, shut it down or change its options: it is the session's.
    ///
    /// ```
    /// async fn lead(term: pg_leader::Term) -> Result<(), std::io::Error> {
    ///     let socket = term.session_socket()?;
    ///     // Whatever is spawned while `socket` is here inherits it.
    ///     rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())?;
    ///     let mut child = tokio::process::Command::new("worker").kill_on_drop(true).spawn()?;
    ///     drop(socket);
    ///     term.ready();
    ///     child.wait().await.map(drop)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// When the work has stopped and the socket is closed, or this process can have no more descriptors.
    pub fn session_socket(&self) -> io::Result<OwnedFd> {
        self.state
            .socket
            .upgrade()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "this term is over"))?
            .try_clone()
    }

    /// Give this term up in order and stay a candidate. The work is told through
    /// [`deposed`](Term::deposed); the leadership is released once it has stopped.
    pub fn resign(&self) {
        let command = Command::Resign {
            key: self.key,
            term: self.state.number,
        };
        let _ = self.commands.send(command);
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Term")
            .field("election", &self.election)
            .field("number", &self.state.number)
            .field("is_current", &self.is_current())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_somebody_saw_pass_cannot_be_extended() {
        let pulse = Pulse::new(clock::now());
        assert_eq!(pulse.remaining(), Duration::ZERO);
        assert!(!pulse.extend(clock::now() + Duration::from_secs(1)));
        assert_eq!(pulse.remaining(), Duration::ZERO);
    }

    #[test]
    fn a_deadline_is_extended_and_never_shortened() {
        let now = clock::now();
        let pulse = Pulse::new(now + Duration::from_secs(100));
        assert!(pulse.extend(now + Duration::from_secs(200)));
        assert!(pulse.extend(now + Duration::from_secs(50)));
        assert!(pulse.remaining() > Duration::from_secs(150));
        pulse.end();
        assert!(!pulse.extend(now + Duration::from_secs(300)));
    }
}
