//! A term of leadership, as its work sees it.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::{Input, Key};
use crate::work::children;
use crate::work::task::Task;
use crate::work::term_state::TermState;
use crate::work::{Guard, Tell};

/// One period of leadership, given to the work that runs in it. Cheap to clone; a clone that outlives the
/// term is harmless, and does not keep the elector alive.
#[derive(Clone)]
pub struct Term {
    pub(crate) election: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) key: Key,
    pub(crate) state: Arc<TermState>,
    pub(crate) tell: Tell,
    /// As long as any of the work runs.
    pub(crate) work: Weak<Guard>,
}

impl Term {
    /// The fencing token: greater than that of every term before that this server, or anybody who takes part,
    /// knows of, across restarts and failovers of the database too. Pass it along with what you write, and refuse
    /// smaller ones.
    ///
    /// An `i64`, as it is a `bigint` of the database's and drivers bind it. A term itself binds as its number, by
    /// `postgres_types::ToSql`:
    ///
    /// ```no_run
    /// # async fn example(term: pg_leader::Term, client: tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    /// client.execute("INSERT INTO booking (term, amount) VALUES ($1, $2)", &[&term, &100_i64]).await?;
    /// # Ok(()) }
    /// ```
    pub fn number(&self) -> i64 {
        self.state.number.cast_signed()
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
    /// it blocks its thread, must ask [`is_ending`](Term::is_ending) or wait for [`ending`](Term::ending).
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
        self.state.session.remaining(clock::now())
    }

    /// Resolves when the work should stop: the term is lost, or is being given up in order.
    ///
    /// For the work of a [graceful](crate::Campaign::graceful) campaign, which is then given time to stop by itself:
    /// until the grace is over in an orderly end, until 0.85 of the lease when the term is lost. Work of any other
    /// campaign is dropped instead of being told, and where this is awaited all the same a warning says so, once a
    /// term. Whether it is awaited changes nothing about when the work is dropped.
    ///
    /// ```
    /// // For a campaign with `.graceful(true)`.
    /// async fn lead(term: pg_leader::Term) -> Result<(), std::io::Error> {
    ///     let mut ending = std::pin::pin!(term.ending());
    ///     term.ready();
    ///     loop {
    ///         tokio::select! {
    ///             () = &mut ending => return Ok(()),
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
    pub fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.state).ending()
    }

    /// Whether the work should stop: the question to which [`ending`](Term::ending) waits for a yes, for
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
        self.state.is_ending()
    }

    /// Run a part of the work as a task of its own, on the runtime on which this election was campaigned for.
    ///
    /// It stops with the term: nobody else leads before it has stopped, just as with `lead` itself. It is
    /// dropped, at its next `.await`, when `lead` is, and at once when `lead` has returned, failed or was dropped,
    /// which ends the term: so `lead` waits for those that must finish. Work that blocks its thread cannot be
    /// dropped here either, and counts for [`Overrun::Abort`](crate::Overrun::Abort).
    ///
    /// What is spawned when the term is over is dropped unpolled.
    ///
    /// ```
    /// async fn lead(term: pg_leader::Term) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     let inbox = term.spawn(receive());
    ///     let outbox = term.spawn(send());
    ///     term.ready();
    ///     // Whichever ends first ends the term; the other is dropped, and waited for.
    ///     tokio::select! {
    ///         received = inbox => received?,
    ///         sent = outbox => sent?,
    ///     }
    ///     Ok(())
    /// }
    /// # async fn receive() {}
    /// # async fn send() {}
    /// ```
    pub fn spawn<F>(&self, work: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let receiver = self.guard().map(|guard| children::spawn(guard, work));
        Task::new(receiver, Weak::clone(&self.work), Arc::clone(&self.state))
    }

    /// As [`spawn`](Term::spawn), for work that blocks: on a thread for such work. Nothing can stop it there,
    /// so it must look at [`is_ending`](Term::is_ending); until it returns nobody else leads in an orderly
    /// end, and when the term is lost it may overlap the next, unless [`Overrun`](crate::Overrun) is `Abort`.
    ///
    /// ```
    /// async fn lead(term: pg_leader::Term) -> Result<(), pg_leader::TaskError> {
    ///     term.ready();
    ///     let asked = term.clone();
    ///     let work = term.spawn_blocking(move || {
    ///         while !asked.is_ending() {
    ///             // A small piece, much shorter than a tenth of the lease.
    ///             std::thread::sleep(std::time::Duration::from_millis(10));
    ///         }
    ///     });
    ///     work.await
    /// }
    /// ```
    pub fn spawn_blocking<F, T>(&self, work: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let receiver = (self.guard()).map(|guard| children::spawn_blocking(guard, work));
        Task::new(receiver, Weak::clone(&self.work), Arc::clone(&self.state))
    }

    /// None once the term is over. In an orderly end work that stops may still spawn.
    fn guard(&self) -> Option<Arc<Guard>> {
        self.is_current().then(|| self.work.upgrade()).flatten()
    }

    /// A token that is cancelled when the work should stop, for code that takes one: as [`ending`](Term::ending) for
    /// the work of a [graceful](crate::Campaign::graceful) campaign, or for what runs beside the work. Cancelling it
    /// does nothing to the term.
    ///
    /// All who wait for such tokens of a term are woken one after the other, so a waker of your own that blocks or
    /// panics keeps the news from the rest; those who wait for [`ending`](Term::ending) are woken each for himself.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.state.tokens.child_token()
    }

    /// The work has recovered: from `Recovering` to `Leading`. Does nothing the second time.
    pub fn ready(&self) {
        if !self.state.ready.swap(true, Ordering::AcqRel) {
            let ready = Input::Ready {
                key: self.key,
                term: self.state.number,
            };
            (self.tell)(ready);
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
    /// [`ending`](Term::ending); the leadership is released once it has stopped.
    pub fn resign(&self) {
        let resign = Input::Resign {
            key: self.key,
            term: self.state.number,
        };
        (self.tell)(resign);
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
