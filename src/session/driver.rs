//! The driver: event in, action out, on a thread of its own.
//!
//! Its runtime is its own too, so that a blocked application can neither starve the heartbeat nor fake it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_postgres::{AsyncMessage, Notification};
use tokio_util::sync::CancellationToken;

use super::connect::{self, Messages, Session};
use super::queries::{Asked, Asker, Known, Reply};
use super::socket::SocketGuard;
use super::work::{self, Lead};
use super::{prove, publish, statements};
use crate::clock;
use crate::config::{Config, Overrun};
use crate::error::{Error, Kind};
use crate::protocol::{Action, Event, Instant, Key, Notice, Process, Query, Stop, Timings};
use crate::schema;
use crate::standing::{ElectionState, Shared};
use crate::term::{Pulse, Term, TermState};

/// What the handles ask of the driver.
pub(crate) enum Command {
    Join { key: Key, candidate: Candidate },
    Observe { key: Key, shared: Arc<Shared> },
    Unobserve { key: Key },
    Ready { key: Key, term: u64 },
    Resign { key: Key, term: u64 },
    Leave { key: Key },
    Shutdown,
    WorkStopped { key: Key, term: u64, stop: Stop },
}

/// What a candidacy brings along.
pub(crate) struct Candidate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: Arc<str>,
    pub(crate) autopsy: bool,
    pub(crate) lead: Lead,
    pub(crate) runtime: Handle,
    /// Cancelled when the candidacy is over.
    pub(crate) left: CancellationToken,
}

/// An election that this process follows, as candidate, observer or both.
struct Election {
    name: Arc<str>,
    shared: Arc<Shared>,
    id: Option<i32>,
    candidate: Option<Candidate>,
    observed: bool,
    office: Option<Office>,
    /// The operator who asked for the term to end.
    asked_by: Option<String>,
}

/// A term whose work was started here.
struct Office {
    state: Arc<TermState>,
    dropped: CancellationToken,
    stopped: bool,
}

/// A session and what is under way on it. As in [`Session`], `messages` must go first.
struct Line {
    messages: Messages,
    queries: FuturesUnordered<Asked>,
    client: Arc<tokio_postgres::Client>,
    socket: SocketGuard,
    pid: i32,
    direct: bool,
    pulse: Arc<Pulse>,
}

type Opening = Pin<Box<dyn Future<Output = Result<(Session, String), Error>>>>;

struct Driver {
    config: Config,
    timings: Timings,
    process: Process,
    commands: UnboundedReceiver<Command>,
    sender: UnboundedSender<Command>,
    elections: BTreeMap<Key, Election>,
    /// What statements need of the elections; made again after a change.
    known: Option<Arc<BTreeMap<Key, Known>>>,
    /// Waits for the first session, which reports to the caller of `connect`.
    first: Option<oneshot::Sender<Result<(), Error>>>,
    opening: Option<Opening>,
    line: Option<Line>,
    /// Replies that were there at once.
    early: Vec<Reply>,
    instance: Option<Arc<str>>,
    finished: bool,
}

/// Whether the first session came about.
pub(crate) type Connected = oneshot::Receiver<Result<(), Error>>;

/// Start the driver. It ends after `Command::Shutdown`, when all is over; `done` is cancelled then.
pub(crate) fn spawn(
    config: Config,
    done: CancellationToken,
) -> Result<(UnboundedSender<Command>, Connected), Error> {
    let timings = config.timings()?;
    let (sender, commands) = unbounded_channel();
    let (first, connected) = oneshot::channel();
    let seed = seed();
    let handle = sender.clone();
    let thread = std::thread::Builder::new()
        .name("pg-leader".to_owned())
        .spawn(move || {
            // Also when the driver panics: nobody may wait for it for ever.
            let _done = done.drop_guard();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = first.send(Err(Error::caused(Kind::Thread, error)));
                    return;
                }
            };
            let driver = Driver {
                process: Process::new(timings.clone(), seed),
                config,
                timings,
                commands,
                sender,
                elections: BTreeMap::new(),
                known: None,
                first: Some(first),
                opening: None,
                line: None,
                early: vec![],
                instance: None,
                finished: false,
            };
            runtime.block_on(driver.run());
        });
    thread.map_err(|error| Error::caused(Kind::Thread, error))?;
    Ok((handle, connected))
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}

/// Connect, see to the schema, listen: all that must be done before anything is read.
async fn open(
    config: Config,
    timings: Timings,
    instance: Option<Arc<str>>,
) -> Result<(Session, String), Error> {
    let mut session = connect::connect(&config, &timings).await?;
    let client = Arc::clone(&session.client);
    let role = session.role.clone();
    let prepare = async {
        let checked = prove::schema(&client, &role).await;
        if let Err(error) = checked {
            // Never over a newer schema: its functions would be replaced by older ones.
            let may = config.install
                && match error.kind() {
                    Kind::SchemaMissing { .. } => true,
                    Kind::SchemaVersion { found, oldest, .. } => found < oldest,
                    _ => false,
                };
            if !may {
                return Err(error);
            }
            tracing::info!("installing the schema pgleader");
            schema::install(&client, &role).await?;
            prove::schema(&client, &role).await?;
        }
        let listening = client.batch_execute("LISTEN pg_leader").await;
        listening.map_err(|error| Error::session("LISTEN", error))?;
        match &instance {
            Some(instance) => Ok(instance.to_string()),
            None => statements::new_instance(&client).await,
        }
    };
    let limit = Duration::from_secs(30);
    let prepared = tokio::time::timeout(limit, connect::with(&mut session.messages, prepare)).await;
    let instance = prepared.map_err(|_| {
        Error::new(Kind::Session(format!(
            "the schema was not ready within {limit:?}"
        )))
    })??;
    Ok((session, instance))
}

impl Driver {
    async fn run(mut self) {
        self.handle(Event::Timer);
        while !self.finished {
            let event = self.next_event().await;
            if let Some(event) = event {
                self.handle(event);
            }
        }
    }

    /// Take an event to the state machine, and do what it says.
    fn handle(&mut self, event: Event) {
        self.process.handle(clock::now(), event);
        loop {
            if let Some(line) = &self.line
                && let Some(until) = self.process.current_until()
                && !line.pulse.extend(until)
            {
                // A reader saw the deadline pass before the machine did: then it has passed.
                self.process.handle(clock::now(), Event::Disconnected);
            }
            match self.process.poll() {
                Some(action) => self.perform(action),
                None => break,
            }
        }
    }

    async fn next_event(&mut self) -> Option<Event> {
        if let Some(reply) = self.early.pop() {
            return self.replied(reply);
        }
        let wait = self.process.deadline().since(clock::now()).min(self.tick());
        let opening = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => std::future::pending().await,
            }
        };
        let line = async {
            match &mut self.line {
                Some(line) => line.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            heard = line => self.heard(heard),
            opened = opening => self.opened(opened),
            command = self.commands.recv() => self.commanded(command.unwrap_or(Command::Shutdown)),
            () = tokio::time::sleep(wait) => Some(Event::Timer),
        }
    }

    /// Timers stand still while the machine is suspended, deadlines do not: look at the clock often while
    /// anything hangs on it.
    fn tick(&self) -> Duration {
        let leads = self
            .elections
            .values()
            .any(|election| election.office.is_some());
        if leads {
            self.timings.lease / 20
        } else {
            Duration::from_secs(1)
        }
    }

    // Events --------------------------------------------------------------------------------------

    fn opened(&mut self, opened: Result<(Session, String), Error>) -> Option<Event> {
        self.opening = None;
        let (session, instance) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                match self.first.take() {
                    Some(first) => {
                        let _ = first.send(Err(error));
                        self.finished = true;
                    }
                    None => tracing::warn!("no session: {error}; trying again"),
                }
                return Some(Event::Disconnected);
            }
        };
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
        tracing::debug!(pid = session.pid, direct = session.direct, "connected");
        self.instance = Some(instance.into());
        let Session {
            messages,
            client,
            socket,
            pid,
            direct,
            ..
        } = session;
        let pulse = Arc::new(Pulse::new(clock::now()));
        self.line = Some(Line {
            messages,
            queries: FuturesUnordered::new(),
            client,
            socket,
            pid,
            direct,
            pulse,
        });
        Some(Event::Connected)
    }

    fn heard(&mut self, heard: Heard) -> Option<Event> {
        match heard {
            Heard::Reply(reply) => self.replied(*reply),
            Heard::Notifications(notifications) => self.notified(&notifications),
            Heard::End(error) => {
                match error {
                    Some(error) => {
                        tracing::warn!("the session ended: {}", Error::session("listening", error))
                    }
                    None => tracing::warn!("the session ended"),
                }
                self.hang_up();
                Some(Event::Disconnected)
            }
        }
    }

    fn replied(&mut self, reply: Reply) -> Option<Event> {
        let answer = match reply.answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!("the session is given up: {error}");
                self.hang_up();
                return Some(Event::Disconnected);
            }
        };
        if let Some((key, id)) = reply.joined
            && let Some(election) = self.elections.get_mut(&key)
        {
            election.id = Some(id);
            self.known = None;
        }
        for (key, by) in reply.asked {
            if let Some(election) = self.elections.get_mut(&key) {
                election.asked_by = Some(by);
                self.known = None;
            }
        }
        for (key, seen) in reply.seen {
            if let Some(election) = self.elections.get(&key) {
                publish::seen(&election.shared, seen, &self.timings);
            }
        }
        Some(Event::Answered {
            sent: reply.sent,
            answer,
        })
    }

    /// Anyone may send notifications: of these no more is used than which elections to look at.
    fn notified(&self, notifications: &[Notification]) -> Option<Event> {
        let line = self.line.as_ref()?;
        let mut keys = BTreeSet::new();
        for notification in notifications {
            // The rest of a flood tells nothing new.
            if keys.len() == self.elections.len() {
                break;
            }
            let ours = line.pid == notification.process_id();
            if !ours && notification.channel() == "pg_leader" {
                keys.extend(self.election_in(notification.payload()));
            }
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        (!keys.is_empty()).then_some(Event::Hint { keys })
    }

    fn election_in(&self, payload: &str) -> Option<Key> {
        let payload: serde_json::Value = serde_json::from_str(payload).ok()?;
        let name = payload.get("election")?.as_str()?;
        let mut elections = self.elections.iter();
        let (key, _) = elections.find(|(_, election)| *election.name == *name)?;
        Some(*key)
    }

    fn commanded(&mut self, command: Command) -> Option<Event> {
        self.known = None;
        match command {
            Command::Join { key, candidate } => {
                let autopsy = candidate.autopsy;
                let shared = Arc::clone(&candidate.shared);
                self.election(key, &shared).candidate = Some(candidate);
                Some(Event::Join { key, autopsy })
            }
            Command::Observe { key, shared } => {
                self.election(key, &shared).observed = true;
                Some(Event::Observe { any: true })
            }
            Command::Unobserve { key } => {
                if let Some(election) = self.elections.get_mut(&key) {
                    election.observed = false;
                    self.forget(key);
                }
                let any = self.elections.values().any(|election| election.observed);
                (!any).then_some(Event::Observe { any })
            }
            Command::Ready { key, term } => {
                if let Some(election) = self.elections.get(&key)
                    && let Some(office) = &election.office
                    && office.state.number == term
                    && let Some(candidate) = &election.candidate
                {
                    let state = Arc::clone(&office.state);
                    publish::leads(
                        &election.shared,
                        state,
                        &candidate.address,
                        ElectionState::Leading,
                    );
                }
                Some(Event::Ready { key, term })
            }
            Command::Resign { key, term } => Some(Event::Resign { key, term }),
            Command::Leave { key } => Some(Event::Leave { key }),
            Command::Shutdown => Some(Event::Shutdown),
            Command::WorkStopped { key, term, stop } => {
                self.work_stopped(key, term);
                Some(Event::WorkStopped { key, term, stop })
            }
        }
    }

    fn work_stopped(&mut self, key: Key, term: u64) {
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let Some(office) = election
            .office
            .as_mut()
            .filter(|office| office.state.number == term)
        else {
            return;
        };
        office.state.over.store(true, Ordering::Release);
        office.stopped = true;
        match &self.line {
            Some(_) => publish::vacant(&election.shared, &self.timings),
            None => {
                publish::unknown(&election.shared);
                office.state.ended.cancel();
            }
        }
    }

    fn election(&mut self, key: Key, shared: &Arc<Shared>) -> &mut Election {
        self.elections.entry(key).or_insert_with(|| Election {
            name: shared.name.as_str().into(),
            shared: Arc::clone(shared),
            id: None,
            candidate: None,
            observed: false,
            office: None,
            asked_by: None,
        })
    }

    fn forget(&mut self, key: Key) {
        if let Some(election) = self.elections.get(&key)
            && !election.observed
            && election.candidate.is_none()
        {
            self.elections.remove(&key);
        }
    }

    // Actions -------------------------------------------------------------------------------------

    fn perform(&mut self, action: Action) {
        match action {
            Action::Connect => {
                let open = open(
                    self.config.clone(),
                    self.timings.clone(),
                    self.instance.clone(),
                );
                self.opening = Some(Box::pin(open));
            }
            Action::Send { sent, query } => self.send(sent, query),
            Action::Abandon => self.hang_up(),
            Action::Start { key, term } => self.start(key, term),
            Action::Cancel { key } => self.with_office(key, |office| {
                office.state.cancelled.cancel();
                // Who never asked for the end cannot hear of it: waiting for him is of no use.
                if !office.state.listens.load(Ordering::Acquire) {
                    office.dropped.cancel();
                }
            }),
            Action::Drop { key } => self.with_office(key, |office| office.dropped.cancel()),
            Action::Overrun { key, term } => self.overrun(key, term),
            Action::Left { key } => {
                self.known = None;
                if let Some(election) = self.elections.get_mut(&key) {
                    if let Some(office) = election.office.take() {
                        office.state.ended.cancel();
                    }
                    if let Some(candidate) = election.candidate.take() {
                        candidate.left.cancel();
                    }
                    self.forget(key);
                }
            }
            Action::Finish => {
                self.finished = true;
                self.say_goodbye();
            }
            Action::Tell(notice) => self.tell(&notice),
        }
    }

    fn with_office(&self, key: Key, act: impl FnOnce(&Office)) {
        if let Some(office) = self
            .elections
            .get(&key)
            .and_then(|election| election.office.as_ref())
        {
            act(office);
        }
    }

    fn send(&mut self, sent: Instant, query: Query) {
        let Some(line) = &self.line else { return };
        let Some(instance) = &self.instance else {
            return;
        };
        let elections = self.known.get_or_insert_with(|| known(&self.elections));
        let first_address = elections
            .values()
            .find_map(|known| known.address.as_deref());
        let asker = Asker {
            client: Arc::clone(&line.client),
            instance: Arc::clone(instance),
            direct: line.direct,
            timings: self.timings.clone(),
            application: format!(
                "{} {}",
                self.config.application_name,
                first_address.unwrap_or_default()
            ),
            elections: Arc::clone(elections),
        };
        let mut asked: Asked = Box::pin(asker.ask(sent, query));
        // The first poll hands the request to the connection: requests leave in the order in which the
        // machine gave them.
        match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => self.early.push(reply),
            Poll::Pending => line.queries.push(asked),
        }
    }

    /// Let go of the session without a word. While work runs its guard keeps the socket open.
    fn hang_up(&mut self) {
        self.early.clear();
        let Some(line) = self.line.take() else { return };
        line.pulse.end();
        drop(line);
        for election in self.elections.values_mut() {
            election.asked_by = None;
            publish::unknown(&election.shared);
            if let Some(office) = election.office.take_if(|office| office.stopped) {
                office.state.ended.cancel();
            }
        }
    }

    /// The orderly end of a session: nothing runs any more.
    fn say_goodbye(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.pulse.end();
            line.queries.clear();
            drop(line.client);
            // With its last client gone the connection writes its goodbye when it is polled.
            let mut context = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = line.messages.poll_next_unpin(&mut context) {}
        }
    }

    fn start(&mut self, key: Key, number: u64) {
        let Some(line) = &self.line else { return };
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let Some(candidate) = &election.candidate else {
            return;
        };
        tracing::info!(
            election = &*election.name,
            term = number,
            address = &*candidate.address,
            "took office"
        );
        let state = Arc::new(TermState {
            number,
            pulse: Arc::clone(&line.pulse),
            ready: AtomicBool::new(false),
            over: AtomicBool::new(false),
            listens: AtomicBool::new(false),
            cancelled: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let term = Term {
            election: Arc::clone(&election.name),
            address: Arc::clone(&candidate.address),
            key,
            state: Arc::clone(&state),
            commands: self.sender.clone(),
        };
        let dropped = CancellationToken::new();
        let socket = Arc::clone(&line.socket);
        work::start(
            &candidate.runtime,
            candidate.lead.clone(),
            term,
            socket,
            dropped.clone(),
        );
        publish::leads(
            &election.shared,
            Arc::clone(&state),
            &candidate.address,
            ElectionState::Recovering,
        );
        election.asked_by = None;
        self.known = None;
        election.office = Some(Office {
            state,
            dropped,
            stopped: false,
        });
    }

    fn overrun(&self, key: Key, term: u64) {
        let Some(election) = self.elections.get(&key) else {
            return;
        };
        let election = &*election.name;
        tracing::error!(
            election,
            term,
            "the work could not be dropped and outlives its lease: it may overlap the next term's work"
        );
        if self.config.overrun == Overrun::Abort {
            eprintln!(
                "pg-leader: work of election {election:?}, term {term}, outlived its lease: aborting"
            );
            std::process::abort();
        }
    }

    fn tell(&mut self, notice: &Notice) {
        let key = match notice {
            Notice::Stranger { key, .. }
            | Notice::Waiting { key, .. }
            | Notice::Spared { key, .. }
            | Notice::Fenced { key }
            | Notice::Evicting { key, .. }
            | Notice::Deposed { key, .. }
            | Notice::Vacated { key, .. }
            | Notice::OutOfGrace { key, .. } => *key,
        };
        let Some(election) = self.elections.get_mut(&key) else {
            return;
        };
        let address = election
            .candidate
            .as_ref()
            .map_or("", |candidate| &*candidate.address);
        publish::tell(&election.name, address, notice);
        if let Notice::Vacated { term, .. } = notice
            && let Some(office) = election
                .office
                .take_if(|office| office.state.number == *term)
        {
            office.state.ended.cancel();
        }
    }
}

fn known(elections: &BTreeMap<Key, Election>) -> Arc<BTreeMap<Key, Known>> {
    let known = elections.iter().map(|(&key, election)| {
        let address = election
            .candidate
            .as_ref()
            .map(|candidate| Arc::clone(&candidate.address));
        let known = Known {
            name: Arc::clone(&election.name),
            address,
            id: election.id,
            asked_by: election.asked_by.clone(),
        };
        (key, known)
    });
    Arc::new(known.collect())
}

/// What a session brings.
enum Heard {
    Reply(Box<Reply>),
    Notifications(Vec<Notification>),
    End(Option<tokio_postgres::Error>),
}

/// So many notifications are taken together at most: a flood must not starve the answers for long.
const BATCH: usize = 512;

impl Line {
    /// Cancel safe: nothing is taken from the session before it is returned.
    async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            Some(reply) = self.queries.next() => Heard::Reply(Box::new(reply)),
            heard = poll_fn(|cx| poll_heard(&mut self.messages, cx)) => heard,
        }
    }
}

fn poll_heard(messages: &mut Messages, cx: &mut Context<'_>) -> Poll<Heard> {
    let mut notifications = vec![];
    while notifications.len() < BATCH {
        match messages.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                notifications.push(notification);
            }
            Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                tracing::debug!("the server says: {notice}");
            }
            Poll::Ready(Some(Ok(_))) => {}
            // What came before the end counts no more: the stream is fused and ends again.
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Heard::End(Some(error))),
            Poll::Ready(None) => return Poll::Ready(Heard::End(None)),
            Poll::Pending if notifications.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(Heard::Notifications(notifications))
}
