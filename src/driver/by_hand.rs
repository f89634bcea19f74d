//! The order of the driver's acts, with a session that a test plays by hand.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use super::Driver;
use super::board::Board;
use crate::clock;
use crate::config::{Config, Overrun};
use crate::connection::socket::SocketGuard;
use crate::engine::{
    Answer, Campaigned, Engine, Heard, Id, Input, Joined, Key, Request, Row, Search, Setup, Try,
};
use crate::error::{Error, Kind};
use crate::foreign::hands::Hands;
use crate::foreign::log::Log;
use crate::session::door::{Door, Opened, Opening, Session};
use crate::session::{Candidate, Command};
use crate::standing::{ProcessState, Shared};
use crate::surveyor::Surveyor;
use crate::term::Term;
use crate::work::Lead;
use crate::work::watch::{Open, Watch};

const KEY: Key = Key(1);
const OTHER: Key = Key(2);
const CEILING: Duration = Duration::from_secs(30);

/// What happened, in its order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// What has happened since this was asked last.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Wait for it, and what came before it.
    fn until(&self, last: &str) -> Vec<String> {
        let began = Instant::now();
        while !self.0.lock().unwrap().iter().any(|what| what == last) {
            assert!(began.elapsed() < CEILING, "waited in vain: {last}");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.take()
    }
}

/// Opened when the test says so. Whoever asks for a session waits until all that was given to the log is said.
struct Played {
    journal: Journal,
    log: Log,
}

impl Door for Played {
    type Session = Line;

    fn open(&self, _: Option<Arc<str>>, _: bool, _: Search) -> Opening<Line> {
        self.log.flush(CEILING);
        self.journal.note("opens");
        Box::pin(pending())
    }
}

struct Line {
    journal: Journal,
    socket: SocketGuard,
}

impl Session for Line {
    fn send(&mut self, request: Request) {
        let words = format!("{request:?}");
        let name = words.split(['(', ' ']).next().unwrap_or_default();
        self.journal.note(format!("sends {name}"));
    }

    fn next(&mut self) -> impl Future<Output = Input> {
        pending()
    }

    fn socket(&self) -> &SocketGuard {
        &self.socket
    }

    fn let_go(self) {
        self.journal.note("lets go");
    }

    fn goodbye(self) {
        self.journal.note("says goodbye");
    }
}

struct Stage {
    journal: Journal,
    driver: Driver<Played>,
    /// Of the terms that have begun.
    terms: Arc<Mutex<Vec<Term>>>,
    hands: Hands,
    /// While it lives terms may begin.
    _watch: Open,
}

/// Notes the end of the work.
struct Works(Journal);

impl Drop for Works {
    fn drop(&mut self) {
        self.0.note("stops");
    }
}

impl Stage {
    fn new() -> Stage {
        let journal = Journal::default();
        let config = Config::new("postgres://nobody@127.0.0.1/none");
        let timings = config.timings().unwrap();
        let terms: Arc<Mutex<Vec<Term>>> = Arc::default();
        let log = Log::start_with({
            let (journal, terms) = (journal.clone(), Arc::clone(&terms));
            move |entries| {
                let over = |term: &Term| term.is_ending();
                let all_over = terms.lock().unwrap().iter().all(over);
                for entry in entries {
                    journal.note(format!("says {}, all over: {all_over}", entry.message));
                }
            }
        });
        let log = log.unwrap();
        let (sender, commands) = unbounded_channel();
        let hands = Hands::start(2).unwrap();
        let watch = Watch::start(&timings, Overrun::Report).unwrap();
        let setup = Setup {
            timings: timings.clone(),
            aborts: false,
            fails_fast: false,
        };
        let driver = Driver {
            engine: Engine::new(setup, 0),
            door: Played {
                journal: journal.clone(),
                log: log.clone(),
            },
            surveyor: Surveyor::new(&config, &timings, &log),
            timings,
            commands,
            sender,
            board: Board::default(),
            watch: Arc::clone(&watch.0),
            hands: hands.clone(),
            log,
            opening: None,
            line: None,
            happened: None,
            overtaken: false,
            said: vec![],
            first: None,
            refusal: None,
            finished: false,
            #[cfg(feature = "testing")]
            panic_at: None,
        };
        Stage {
            journal,
            driver,
            terms,
            hands,
            _watch: watch,
        }
    }

    fn asked(&mut self, command: Command) {
        self.driver.note(command);
        self.driver.take();
    }

    fn comes(&mut self, input: Input) {
        self.driver.happened = Some(input);
        self.driver.take();
    }

    fn opens(&mut self) {
        let (reading, _) = std::io::pipe().unwrap();
        let opened = Opened {
            session: Line {
                journal: self.journal.clone(),
                socket: Arc::new(reading.into()),
            },
            pid: 1,
            direct: true,
            instance: "instance".into(),
            hosts: None,
        };
        let opened = self.driver.opened(Ok(opened));
        self.comes(opened);
    }

    fn shared(&self, key: Key) -> Arc<Shared> {
        let name = format!("e{}", key.0);
        let done = CancellationToken::new();
        Arc::new(Shared::new(name, self.hands.clone(), done))
    }

    fn campaigns(&mut self, key: Key) -> CancellationToken {
        let shared = self.shared(key);
        let lead = {
            let (journal, terms) = (self.journal.clone(), Arc::clone(&self.terms));
            let shared = Arc::clone(&shared);
            move |term: Term| {
                let state = shared.process_state();
                assert_eq!(state, ProcessState::Recovering, "it is in office");
                terms.lock().unwrap().push(term.clone());
                journal.note("starts");
                let works = Works(journal.clone());
                async move {
                    let _works = works;
                    term.ending().await;
                }
            }
        };
        self.campaigns_with(key, shared, Lead::new(lead))
    }

    fn campaigns_with(&mut self, key: Key, shared: Arc<Shared>, lead: Lead) -> CancellationToken {
        let left = CancellationToken::new();
        let candidate = Candidate {
            shared,
            address: "a".into(),
            priority: 0,
            autopsy: true,
            graceful: true,
            _hold: Box::new(()),
            lead,
            runtime: Handle::current(),
            left: left.clone(),
            number: 1,
        };
        self.asked(Command::Join { key, candidate });
        left
    }

    /// Joined, tried for and won at once.
    fn leads(&mut self, key: Key, term: u64) {
        let election = Id(i32::try_from(key.0).unwrap());
        let (name, heard) = (format!("e{}", key.0).into(), Heard::default());
        let joined = Joined { election, heard };
        self.comes(Input::Answered(Answer::Joined(vec![(name, Ok(joined))])));
        let token = "token".into();
        let campaigned = Campaigned {
            tried: Try::Began { term, token },
            row: Row::vacant(term),
        };
        self.comes(Input::Answered(Answer::Campaigned(vec![(
            election,
            Ok(campaigned),
        )])));
        self.comes(Input::Answered(Answer::Done));
        self.journal.until("starts");
    }

    /// The work tells that it has stopped by a command.
    fn hears(&mut self) {
        let began = Instant::now();
        while !self.driver.board.running().is_empty() {
            if let Ok(command) = self.driver.commands.try_recv() {
                self.asked(command);
            }
            assert!(began.elapsed() < CEILING, "no work has stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn leader() -> (Stage, CancellationToken) {
    let mut stage = Stage::new();
    stage.comes(Input::Timer);
    stage.opens();
    let left = stage.campaigns(KEY);
    stage.leads(KEY, 7);
    (stage, left)
}

fn sent(journal: &[String]) -> Vec<&str> {
    let sent = journal
        .iter()
        .filter_map(|what| what.strip_prefix("sends "));
    sent.collect()
}

/// That it is published before it starts the work itself looks at.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_told_to_all_work_before_anything_is_said_of_it() {
    let (mut stage, _) = leader();
    drop(stage.campaigns(OTHER));
    stage.leads(OTHER, 3);
    stage.driver.log.flush(CEILING);
    stage.journal.take();
    // Who comes back at once is who owes something, and had a session for so long.
    let opened = clock::now();
    while clock::now().since(opened) < stage.driver.timings.heartbeat_interval {
        std::thread::sleep(Duration::from_millis(1));
    }
    stage.comes(Input::Lost { why: None });
    stage.driver.log.flush(CEILING);
    let journal = stage.journal.take();
    let at = |what: &str| journal.iter().position(|noted| noted == what);
    let said = journal.iter().position(|noted| noted.starts_with("says"));
    assert!(at("lets go") < said && at("opens") < said, "{journal:?}");
    assert!(said.is_some() && at("opens").is_some(), "{journal:?}");
    let early = journal
        .iter()
        .find(|noted| noted.ends_with("all over: false"));
    assert_eq!(early, None, "{journal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_let_go_before_the_work_has_stopped() {
    let (mut stage, _) = leader();
    stage.asked(Command::Shutdown);
    let journal = stage.journal.until("stops");
    assert_eq!(sent(&journal), [""; 0], "the work runs");
    stage.hears();
    let journal = stage.journal.take();
    assert_eq!(sent(&journal), ["Vacate", "Release", "Announce", "Leave"]);
    for answer in [
        Answer::Vacated(vec![(Id(1), Ok(true))]),
        Answer::Done,
        Answer::Done,
        Answer::Left(vec![(Id(1), Ok(()))]),
    ] {
        assert!(!stage.driver.finished);
        stage.comes(Input::Answered(answer));
    }
    assert!(stage.driver.finished);
    assert!(stage.journal.take().contains(&"says goodbye".to_owned()));
}

/// The server must not see the end of the session while its work runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_keeps_its_socket_until_its_work_has_stopped() {
    let mut stage = Stage::new();
    stage.comes(Input::Timer);
    stage.opens();
    let socket = Arc::downgrade(stage.driver.line.as_ref().unwrap().session.socket());
    let runs = Arc::new(AtomicBool::new(true));
    let lead = {
        let (runs, journal) = (Arc::clone(&runs), stage.journal.clone());
        move |_: Term| {
            journal.note("starts");
            let runs = Arc::clone(&runs);
            async move {
                while runs.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    };
    let shared = stage.shared(KEY);
    drop(stage.campaigns_with(KEY, shared, Lead::new(lead)));
    stage.leads(KEY, 7);
    stage.comes(Input::Lost { why: None });
    assert!(stage.journal.take().contains(&"lets go".to_owned()));
    assert!(socket.upgrade().is_some(), "its work runs");
    runs.store(false, Ordering::SeqCst);
    stage.hears();
    assert!(socket.upgrade().is_none());
}

/// All terms are over before anything else is done, and what was asked for is done all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_put_back_on_its_engine_ends_its_terms_first() {
    let (mut stage, left) = leader();
    let term = stage.terms.lock().unwrap()[0].clone();
    stage.journal.take();
    let key = KEY;
    let candidacy = 1;
    let leave = Command::Leave { key, candidacy };
    stage.driver.sender.send(leave).unwrap();
    stage.driver.restart();
    assert!(!term.is_current());
    assert!(stage.driver.line.is_none());
    let journal = stage.journal.until("stops");
    assert!(journal.contains(&"lets go".to_owned()));
    stage.hears();
    stage.driver.restart();
    stage.driver.restart();
    tokio::time::timeout(CEILING, left.cancelled())
        .await
        .expect("it fails again and again, and its work has stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_the_first_session_hears_why_there_is_none() {
    let mut stage = Stage::new();
    let setup = Setup {
        timings: stage.driver.timings.clone(),
        aborts: false,
        fails_fast: true,
    };
    stage.driver.engine = Engine::new(setup, 0);
    let (first, hears) = tokio::sync::oneshot::channel();
    stage.driver.first = Some(first);
    stage.comes(Input::Timer);
    let error = Error::new(Kind::Unreachable("nobody is there".to_owned()));
    let not_opened = stage.driver.opened(Err(error));
    stage.comes(not_opened);
    assert!(stage.driver.finished);
    let heard = tokio::time::timeout(CEILING, hears).await;
    let why = heard.unwrap().unwrap().unwrap_err();
    assert!(why.to_string().contains("nobody is there"));
}

/// An answer extended what a reader has seen end already: then it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_has_seen_end_is_not_extended() {
    let (mut stage, _) = leader();
    stage.driver.line.as_ref().unwrap().leash.end();
    std::thread::sleep(Duration::from_millis(1));
    stage.journal.take();
    while stage.driver.line.is_some()
        && !stage.journal.take().contains(&"sends Heartbeat".to_owned())
    {
        std::thread::sleep(Duration::from_millis(5));
        stage.comes(Input::Timer);
    }
    if stage.driver.line.is_some() {
        stage.comes(Input::Answered(Answer::Asked(vec![])));
    }
    assert!(stage.driver.line.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_elections_that_nobody_follows_any_more() {
    let mut stage = Stage::new();
    stage.comes(Input::Timer);
    for nth in 1..=10_000 {
        let key = Key(nth);
        let shared = stage.shared(key);
        let observed = Arc::clone(&shared);
        stage.asked(Command::Observe {
            key,
            shared: observed,
        });
        if nth % 10 == 0 {
            let lead = Lead::new(|_: Term| async {});
            drop(stage.campaigns_with(key, shared, lead));
            let candidacy = 1;
            stage.asked(Command::Leave { key, candidacy });
        }
        stage.asked(Command::Unobserve { key });
    }
    let Driver { board, engine, .. } = &stage.driver;
    assert_eq!((board.kept(), engine.kept()), (0, 0));
}

/// What is said of it last has its name, and who is handed the same key anew is published to.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidacy_that_has_left_is_forgotten_when_all_is_said() {
    let (mut stage, left) = leader();
    let candidacy = 1;
    stage.asked(Command::Leave {
        key: KEY,
        candidacy,
    });
    stage.hears();
    for answer in [
        Answer::Vacated(vec![(Id(1), Ok(true))]),
        Answer::Done,
        Answer::Done,
        Answer::Left(vec![(Id(1), Ok(()))]),
    ] {
        assert_ne!(stage.driver.board.kept(), 0, "it has not left");
        stage.comes(Input::Answered(answer));
    }
    let over = tokio::time::timeout(CEILING, left.cancelled());
    over.await.expect("it has left");
    let Driver { board, engine, .. } = &stage.driver;
    assert_eq!((board.kept(), engine.kept()), (0, 0));
    // It looks at the handles that it was given now.
    drop(stage.campaigns(KEY));
    stage.leads(KEY, 8);
}
