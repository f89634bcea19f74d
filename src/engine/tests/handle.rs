//! What the engine makes of names, ids, handles and answers.

use super::*;

const OTHER: Key = Key(2);
const OWN: i32 = 40;

/// An engine with its clock; the test is everything else.
pub(super) struct Engined {
    pub(super) engine: Engine,
    pub(super) now: Instant,
    /// What has been sent and not answered, oldest first.
    pub(super) sent: Vec<Request>,
    /// Everything that came out, what was sent too.
    pub(super) done: Vec<Output>,
    inputs: u32,
}

pub(super) fn setup() -> Setup {
    Setup {
        timings: Timings::new(LEASE, Duration::from_secs(5), Duration::from_secs(10)).unwrap(),
        aborts: false,
        fails_fast: false,
    }
}

pub(super) fn candidature(election: &str, number: u64) -> Candidature {
    Candidature {
        election: election.into(),
        number,
        address: format!("of {election}").into(),
        priority: 3,
        autopsy: true,
        graceful: true,
    }
}

pub(super) fn opened() -> Input {
    Input::Opened {
        pid: OWN,
        direct: true,
        instance: "instance".into(),
        hosts: None,
    }
}

pub(super) fn id(key: Key) -> Id {
    Id(100 + i32::try_from(key.0).unwrap())
}

fn name(key: Key) -> String {
    format!("e{}", key.0)
}

impl Engined {
    pub(super) fn with(setup: Setup) -> Engined {
        let mut engined = Engined {
            engine: Engine::new(setup, 0),
            now: Instant::from_nanos(1_000_000_000_000),
            sent: vec![],
            done: vec![],
            inputs: 0,
        };
        engined.input(Input::Timer);
        engined
    }

    pub(super) fn input(&mut self, input: Input) {
        self.inputs += 1;
        assert!(self.inputs < ENDLESS, "it goes on for ever: {input:?}");
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll() {
            match &output {
                Output::Send(request) => self.sent.push(request.clone()),
                Output::LetGo => self.sent.clear(),
                _ => {}
            }
            self.done.push(output);
        }
    }

    /// What came out of this alone.
    pub(super) fn outputs(&mut self, input: Input) -> Vec<Output> {
        self.done.clear();
        self.input(input);
        std::mem::take(&mut self.done)
    }

    /// Answer the oldest request, as a server does where nothing happens.
    pub(super) fn answer_oldest(&mut self) {
        let answer = match &self.sent[0] {
            Request::Join(all) => {
                let joined = |join: &Join| Joined {
                    election: id(Key(join.name[1..].parse().unwrap())),
                    heard: Heard::default(),
                };
                let joins = all.of.iter();
                let joined = joins.map(|join| (join.name.clone(), Ok(joined(join))));
                Answer::Joined(joined.collect())
            }
            Request::Campaign(bids) => {
                let bids = bids.of.iter();
                let tries = bids.map(|bid| tried(bid.election, Try::Held(held())));
                Answer::Campaigned(tries.collect())
            }
            Request::TakeOffice(all) => {
                let takes = all.of.iter();
                let offices = takes.map(|take| (take.election, Ok(still_waiting())));
                Answer::Office(offices.collect())
            }
            Request::Ready(all) => {
                Answer::Recorded(all.of.iter().map(|(id, _)| (*id, Ok(true))).collect())
            }
            Request::Heartbeat(_) => Answer::Asked(vec![]),
            Request::Vacate(all) => {
                let vacates = all.of.iter();
                let vacated = vacates.map(|vacate| (vacate.election, Ok(true)));
                Answer::Vacated(vacated.collect())
            }
            Request::Read(all) => {
                Answer::Read(all.of.iter().map(|name| (name.clone(), Ok(None))).collect())
            }
            Request::Leave(all) => Answer::Left(all.of.iter().map(|id| (*id, Ok(()))).collect()),
            Request::BackendGone(all) => {
                Answer::Gone(all.of.iter().map(|(id, _)| (*id, Ok(false))).collect())
            }
            Request::Counters => Answer::Counters(COUNTERS),
            Request::Evict(all) => {
                let terms = all.of.iter();
                Answer::Evicted(terms.map(|(id, _)| (*id, Ok(Evicted::Done))).collect())
            }
            _ => Answer::Done,
        };
        self.answer(answer);
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.sent.remove(0);
        self.input(Input::Answered(answer));
    }

    pub(super) fn answer_all(&mut self) {
        while !self.sent.is_empty() {
            self.answer_oldest();
        }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.engine.poll_timeout() <= until {
            self.now = self.now.max(self.engine.poll_timeout());
            self.input(Input::Timer);
            self.answer_all();
        }
        self.now = until;
        self.input(Input::Timer);
    }

    pub(super) fn join(&mut self, key: Key) {
        let candidature = candidature(&name(key), 1);
        self.input(Input::Join { key, candidature });
    }

    /// On a session, its try under way.
    pub(super) fn candidate(key: Key) -> Engined {
        Engined::candidate_with(setup(), key)
    }

    fn candidate_with(setup: Setup, key: Key) -> Engined {
        let mut engined = Engined::with(setup);
        engined.input(opened());
        engined.join(key);
        engined.answer_oldest();
        assert!(matches!(engined.sent[..], [Request::Campaign(_)]));
        engined
    }

    /// In office since term 7.
    pub(super) fn leader() -> Engined {
        Engined::leader_with(setup())
    }

    pub(super) fn leader_with(setup: Setup) -> Engined {
        let mut engined = Engined::candidate_with(setup, KEY);
        engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
        engined.answer_all();
        engined.done.clear();
        engined
    }

    pub(super) fn has_done(&self, output: &Output) -> bool {
        self.done.contains(output)
    }

    pub(super) fn has_sent(&self, wanted: impl Fn(&Request) -> bool) -> bool {
        let sends = |output: &Output| matches!(output, Output::Send(request) if wanted(request));
        self.done.iter().any(sends)
    }

    pub(super) fn says(&self, notice: &Notice) -> bool {
        self.has_done(&Output::Tell(notice.clone()))
    }
}

pub(super) fn tried(election: Id, tried: Try) -> (Id, Told<Campaigned>) {
    let row = Row::vacant(7);
    (election, Ok(Campaigned { tried, row }))
}

pub(super) fn slice<T>(of: Vec<T>) -> Slice<T> {
    let limit = LEASE / 20;
    Slice { of, limit }
}

fn stopped(key: Key, term: u64) -> Input {
    let stop = Stop::Returned;
    Input::Stopped { key, term, stop }
}

fn lost() -> Input {
    let why = Some("it broke".into());
    Input::Lost { why }
}

pub(super) fn not_opened() -> Input {
    Input::NotOpened {
        why: "nobody is there".into(),
        schema: false,
        outage: true,
    }
}

const REFUSED: Output = Output::Finished { refused: true };

#[test]
fn whoever_waits_for_the_first_session_hears_at_once_that_there_is_none() {
    let fails_fast = true;
    let setup = || Setup {
        fails_fast,
        ..setup()
    };
    let mut engined = Engined::with(setup());
    assert_eq!(engined.outputs(not_opened()), [REFUSED]);
    // Later ones are tried for again.
    let mut engined = Engined::with(setup());
    engined.input(opened());
    engined.input(lost());
    engined.pass(LEASE);
    engined.input(not_opened());
    engined.done.clear();
    engined.pass(Duration::from_secs(5));
    assert!(engined.has_done(&Output::Open {
        instance: Some("instance".into()),
        first: false,
        search: Search::default(),
    }));
    assert!(!engined.has_done(&REFUSED));
}

#[test]
fn whoever_does_not_wait_for_the_first_session_goes_on_trying_for_it() {
    let mut engined = Engined::with(setup());
    let opens = Output::Open {
        instance: None,
        first: true,
        search: Search::default(),
    };
    assert_eq!(engined.done, std::slice::from_ref(&opens));
    for again in [false, true] {
        let why = "nobody is there".into();
        let outputs = engined.outputs(not_opened());
        assert_eq!(outputs, [Output::Tell(Notice::NoSession { why, again })]);
        engined.pass(Duration::from_secs(5));
        assert!(engined.has_done(&opens));
    }
    engined.input(opened());
    engined.input(lost());
    engined.pass(LEASE);
    let (why, again) = ("nobody is there".into(), false);
    let outputs = engined.outputs(not_opened());
    assert_eq!(outputs, [Output::Tell(Notice::NoSession { why, again })]);
}

#[test]
fn who_joins_is_told_to_the_database_with_all_that_it_brings() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    engined.join(KEY);
    let join = Join {
        name: "e1".into(),
        address: "of e1".into(),
        priority: 3,
        heard: Heard::default(),
    };
    assert_eq!(engined.sent, [Request::Join(slice(vec![join]))]);
}

#[test]
fn what_begins_is_shown_before_it_starts_and_said_last() {
    let mut engined = Engined::candidate(KEY);
    let answer = Answer::Campaigned(vec![tried(id(KEY), began(7))]);
    engined.sent.clear();
    engined.now += LEASE / 8;
    let outputs = engined.outputs(Input::Answered(answer));
    let (key, term) = (KEY, 7);
    let published = Published {
        own: Some(7),
        term: 7,
        state: ElectionState::Recovering,
        address: Some("of e1".into()),
        ..Published::default()
    };
    let token = "token".into();
    assert_eq!(
        outputs,
        [
            Output::Begin { key, term, token },
            Output::Publish { key, published },
            Output::Start { key, term },
            Output::Send(Request::Announce(vec![id(KEY)])),
            Output::Tell(Notice::TookOffice { key, term }),
        ]
    );
}

#[test]
fn an_answer_extends_the_terms_and_nothing_else_does() {
    let mut engined = Engined::leader();
    let since = engined.now;
    engined.pass(LEASE / 8);
    let until = since + LEASE / 8 + LEASE * 75 / 100;
    let extends = |output: &&Output| matches!(output, Output::Extend { .. });
    let extended: Vec<_> = engined.done.iter().filter(extends).cloned().collect();
    assert_eq!(extended, [Output::Extend { until }]);
    let outputs = engined.outputs(Input::Timer);
    assert!(!outputs.iter().any(|output| extends(&output)));
}

/// All that ends goes before all that is said of it.
#[test]
fn all_work_of_a_lost_session_is_told_before_anything_is_said() {
    let mut engined = Engined::leader();
    engined.join(OTHER);
    engined.answer_oldest();
    let began = Answer::Campaigned(vec![tried(id(OTHER), began(3))]);
    engined.answer(began);
    engined.answer_all();
    let outputs = engined.outputs(lost());
    let first_said = outputs
        .iter()
        .position(|output| matches!(output, Output::Tell(_)))
        .expect("something is said");
    let (done, said) = outputs.split_at(first_said);
    for key in [KEY, OTHER] {
        assert!(done.contains(&Output::Cancel { key }));
    }
    assert!(done.contains(&Output::LetGo));
    assert!(said.iter().all(|output| matches!(output, Output::Tell(_))));
    let why = Some("it broke".into());
    assert_eq!(said[0], Output::Tell(Notice::SessionEnded { why }));
    assert_eq!(said.len(), 3);
}

#[test]
fn an_answer_is_to_the_oldest_request() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    engined.join(KEY);
    engined.input(Input::Observe {
        key: OTHER,
        election: "e2".into(),
    });
    assert!(matches!(
        engined.sent[..],
        [Request::Join(_), Request::Read(_)]
    ));
    let read = Answer::Read(vec![]);
    let outputs = engined.outputs(Input::Answered(read));
    assert!(outputs.contains(&Output::LetGo));
    let muddled = Notice::Muddled(Muddle::NoFit);
    assert!(outputs.contains(&Output::Tell(muddled)));
    // None is expected any more.
    assert_eq!(engined.outputs(Input::Answered(Answer::Done)), []);
}

#[test]
fn an_answer_about_elections_that_were_not_asked_for_ends_the_session() {
    for answer in [
        Answer::Campaigned(vec![]),
        Answer::Campaigned(vec![tried(id(OTHER), began(7))]),
        Answer::Campaigned(vec![tried(id(KEY), began(7)), tried(id(KEY), began(8))]),
    ] {
        let mut engined = Engined::candidate(KEY);
        let outputs = engined.outputs(Input::Answered(answer.clone()));
        assert!(outputs.contains(&Output::LetGo), "{answer:?}");
        assert!(!outputs.contains(&Output::Start { key: KEY, term: 7 }));
    }
}

#[test]
fn a_notification_that_is_refused_is_missed_by_nobody_and_ends_nothing() {
    let mut engined = Engined::candidate(KEY);
    engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
    assert!(matches!(engined.sent[..], [Request::Announce(_)]));
    engined.sent.clear();
    let why: std::sync::Arc<str> = "the queue is full".into();
    let refused = Input::Refused { why: why.clone() };
    let outputs = engined.outputs(refused.clone());
    assert_eq!(
        outputs,
        [Output::Tell(Notice::NotAnnounced { why: why.clone() })]
    );
    // Anything else is not.
    engined.pass(LEASE / 8);
    engined.now += LEASE / 8;
    engined.input(Input::Timer);
    assert!(matches!(engined.sent[..], [Request::Heartbeat(_)]));
    let outputs = engined.outputs(refused);
    assert!(outputs.contains(&Output::LetGo));
    assert!(outputs.contains(&Output::Cancel { key: KEY }));
    assert!(outputs.contains(&Output::Tell(Notice::GivenUp { why })));
}

fn notified(pid: i32, elections: &[&str]) -> Input {
    let notification = |election: &&str| Notification {
        pid,
        election: (*election).into(),
    };
    Input::Notified(elections.iter().map(notification).collect())
}

#[test]
fn of_notifications_no_more_is_used_than_which_election_to_look_at() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    engined.input(Input::Observe {
        key: KEY,
        election: "e1".into(),
    });
    engined.answer_all();
    assert_eq!(engined.outputs(notified(OWN, &["e1"])), [], "its own");
    assert_eq!(engined.outputs(notified(1, &["e9"])), [], "another's");
    let read = Output::Send(Request::Read(slice(vec!["e1".into()])));
    assert_eq!(engined.outputs(notified(1, &["e9", "e1"])), [read]);
}

/// What has named all elections says nothing new.
#[test]
fn a_flood_of_notifications_is_read_no_further_than_it_tells_anything() {
    let mut engined = Engined::candidate(KEY);
    engined.answer_all();
    let flood: Vec<&str> = std::iter::repeat_n("e1", 100).collect();
    engined.outputs(notified(1, &flood));
    let tries = |request: &&Request| matches!(request, Request::Campaign(_));
    assert_eq!(engined.sent.iter().filter(tries).count(), 1);
}

fn asked() -> Asked {
    Asked {
        kind: "step down".into(),
        by: "an operator".into(),
    }
}

/// It is read with a heartbeat.
fn step_down(engined: &mut Engined, asked: Asked) {
    while engined.sent.is_empty() {
        engined.now += LEASE / 8;
        engined.input(Input::Timer);
    }
    assert_eq!(engined.sent, [Request::Heartbeat(vec![id(KEY)])]);
    let (election, term) = (id(KEY), 7);
    engined.answer(Answer::Asked(vec![StepDown {
        election,
        term,
        asked,
    }]));
    assert!(engined.has_done(&Output::Cancel { key: KEY }));
}

fn vacate(ending: Ending, asked: Option<Asked>) -> Request {
    let (election, term) = (id(KEY), 7);
    Request::Vacate(slice(vec![Vacate {
        election,
        term,
        ending,
        asked,
    }]))
}

#[test]
fn who_asked_for_the_end_of_a_term_is_told_with_its_vacate() {
    let mut engined = Engined::leader();
    step_down(&mut engined, asked());
    engined.input(stopped(KEY, 7));
    let vacate = vacate(Ending::SteppedDown, Some(asked()));
    assert!(engined.sent.contains(&vacate), "{:?}", engined.sent);
}

#[test]
fn who_asked_is_told_from_the_next_session_too() {
    let mut engined = Engined::leader();
    step_down(&mut engined, asked());
    engined.input(lost());
    engined.input(stopped(KEY, 7));
    engined.pass(LEASE);
    engined.input(opened());
    let vacate = vacate(Ending::SteppedDown, Some(asked()));
    assert!(engined.sent.contains(&vacate), "{:?}", engined.sent);
}

#[test]
fn nobody_is_told_of_an_end_that_nobody_asked_for() {
    let mut engined = Engined::leader();
    engined.input(lost());
    engined.input(stopped(KEY, 7));
    engined.pass(LEASE);
    engined.input(opened());
    let vacate = vacate(Ending::Deposed, None);
    assert!(engined.sent.contains(&vacate), "{:?}", engined.sent);
}

const CANDIDACY: u64 = 1;

fn resigned(term: Option<u64>) -> Output {
    Output::Resigned {
        key: KEY,
        candidacy: CANDIDACY,
        term,
    }
}

fn resign() -> Input {
    Input::GiveUp {
        key: KEY,
        candidacy: CANDIDACY,
    }
}

#[test]
fn resigning_returns_once_the_term_is_vacated_and_says_which_it_was() {
    let mut engined = Engined::leader();
    engined.input(resign());
    assert!(engined.has_done(&Output::Cancel { key: KEY }));
    engined.input(stopped(KEY, 7));
    assert!(!engined.has_done(&resigned(Some(7))));
    engined.answer_oldest();
    assert!(engined.has_done(&resigned(Some(7))));
}

#[test]
fn resigning_without_a_term_returns_at_once() {
    let mut engined = Engined::candidate(KEY);
    engined.answer_all();
    assert_eq!(engined.outputs(resign()), [resigned(None)]);
}

/// The try under way is won after all, and given up.
#[test]
fn resigning_says_which_term_began_meanwhile() {
    let mut engined = Engined::candidate(KEY);
    engined.input(resign());
    assert!(!engined.has_done(&resigned(None)));
    engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
    engined.answer_all();
    assert!(engined.has_done(&resigned(Some(7))));
}

#[test]
fn a_handle_asks_nothing_of_a_later_candidacy() {
    let mut engined = Engined::leader();
    let candidacy = CANDIDACY + 1;
    let give_up = Input::GiveUp {
        key: KEY,
        candidacy,
    };
    let term = None;
    let told = Output::Resigned {
        key: KEY,
        candidacy,
        term,
    };
    assert_eq!(engined.outputs(give_up), [told]);
    let leave = Input::Leave {
        key: KEY,
        candidacy,
    };
    assert_eq!(engined.outputs(leave), []);
}

fn leave() -> Input {
    Input::Leave {
        key: KEY,
        candidacy: CANDIDACY,
    }
}

#[test]
fn who_leaves_gives_up_its_term_and_is_forgotten() {
    let mut engined = Engined::leader();
    engined.input(resign());
    engined.input(leave());
    engined.input(stopped(KEY, 7));
    engined.answer_all();
    assert!(engined.has_done(&resigned(Some(7))));
    assert!(engined.has_done(&Output::Left { key: KEY }));
    assert!(engined.has_sent(|request| *request == Request::Leave(slice(vec![id(KEY)]))));
    // Nobody reads of it any more.
    engined.input(Input::Observe {
        key: OTHER,
        election: "e2".into(),
    });
    assert_eq!(engined.sent, [Request::Read(slice(vec!["e2".into()]))]);
}

fn stranded(term: u64) -> Input {
    let (key, stop) = (KEY, Stop::Stranded);
    Input::Stopped { key, term, stop }
}

#[test]
fn who_can_never_work_again_leaves_and_says_so() {
    let mut engined = Engined::leader();
    engined.input(stranded(7));
    engined.answer_all();
    assert!(engined.says(&Notice::Stranded { key: KEY }));
    assert!(engined.has_sent(|request| *request == Request::Leave(slice(vec![id(KEY)]))));
    assert!(engined.has_done(&Output::Left { key: KEY }));
    // The next candidacy, on another runtime, is another's.
    engined.done.clear();
    engined.join(KEY);
    engined.input(stranded(7));
    engined.answer_all();
    assert!(!engined.says(&Notice::Stranded { key: KEY }));
    assert!(!engined.has_done(&Output::Left { key: KEY }));
}

#[test]
fn who_leaves_anyway_does_not_say_that_it_must() {
    for order in [leave(), Input::Shutdown] {
        let mut engined = Engined::leader();
        engined.input(order);
        engined.input(stranded(7));
        engined.answer_all();
        assert!(!engined.says(&Notice::Stranded { key: KEY }));
        assert!(engined.has_done(&Output::Left { key: KEY }));
    }
}

/// Its session is gone: it leaves all the same, once the database can be told.
#[test]
fn who_can_never_work_again_leaves_from_the_next_session_too() {
    let mut engined = Engined::leader();
    engined.input(lost());
    engined.input(stranded(7));
    assert!(engined.says(&Notice::Stranded { key: KEY }));
    engined.pass(LEASE);
    engined.input(opened());
    engined.answer_all();
    assert!(engined.has_done(&Output::Left { key: KEY }));
}

/// The answer that nothing gave proves nothing of the session.
#[test]
fn who_leaves_before_it_has_joined_asks_nothing_and_extends_nothing() {
    let mut engined = Engined::with(setup());
    engined.join(KEY);
    engined.input(leave());
    engined.input(opened());
    let left = Output::Left { key: KEY };
    assert!(engined.has_done(&left));
    assert!(!engined.has_sent(|request| matches!(request, Request::Leave(_))));
    let mut engined = Engined::leader();
    let until = engined.engine.extended;
    engined.now += LEASE / 16;
    engined.join(OTHER);
    engined.input(Input::Leave {
        key: OTHER,
        candidacy: CANDIDACY,
    });
    assert_eq!(engined.engine.extended, until);
}

#[test]
fn who_observes_and_leaves_goes_on_observing() {
    let mut engined = Engined::candidate(KEY);
    engined.input(Input::Observe {
        key: KEY,
        election: "e1".into(),
    });
    engined.answer_all();
    engined.input(leave());
    engined.answer_all();
    assert!(engined.has_done(&Output::Left { key: KEY }));
    let read = Output::Send(Request::Read(slice(vec!["e1".into()])));
    assert_eq!(engined.outputs(notified(1, &["e1"])), [read]);
    engined.answer_all();
    engined.input(Input::Unobserve { key: KEY });
    assert_eq!(engined.outputs(notified(1, &["e1"])), []);
}

/// It is not among those that were asked for.
#[test]
fn what_is_observed_while_a_read_is_under_way_is_not_shown_as_vacant() {
    let mut engined = Engined::with(setup());
    engined.input(opened());
    for key in [KEY, OTHER] {
        let election = name(key).into();
        engined.input(Input::Observe { key, election });
    }
    assert_eq!(engined.sent, [Request::Read(slice(vec!["e1".into()]))]);
    engined.done.clear();
    engined.answer_oldest();
    let shows = |key: Key| {
        let shows =
            |output: &&Output| matches!(output, Output::Publish { key: of, .. } if *of == key);
        engined.done.iter().any(|output| shows(&output))
    };
    assert!(shows(KEY) && !shows(OTHER));
}

#[test]
fn what_is_read_is_found_by_name() {
    let mut engined = Engined::with(setup());
    for key in [KEY, OTHER] {
        let election = name(key).into();
        engined.input(Input::Observe { key, election });
    }
    engined.input(opened());
    engined.done.clear();
    let found = |name: &str, address: &str| {
        let row = Row {
            term: 7,
            state: ElectionState::Leading,
            address: Some(address.into()),
            bar: None,
        };
        (name.into(), Ok(Some(Found { row, view: view() })))
    };
    engined.answer(Answer::Read(vec![found("e2", "a"), found("e1", "b")]));
    let shown = engined.done.iter().find_map(|output| match output {
        Output::Publish {
            key: KEY,
            published,
        } => Some(published.clone()),
        _ => None,
    });
    assert_eq!(shown.unwrap().address.as_deref(), Some("b"));
}

#[test]
fn work_that_is_given_no_time_is_dropped_where_it_is_told_to_stop() {
    for (graceful, lose) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut engined = Engined::with(setup());
        engined.input(opened());
        let candidature = Candidature {
            graceful,
            ..candidature("e1", CANDIDACY)
        };
        engined.input(Input::Join {
            key: KEY,
            candidature,
        });
        engined.answer_oldest();
        engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
        engined.answer_all();
        let outputs = engined.outputs(if lose { lost() } else { resign() });
        assert!(outputs.contains(&Output::Cancel { key: KEY }));
        assert_eq!(outputs.contains(&Output::Drop { key: KEY }), !graceful);
        let (key, term) = (KEY, 7);
        let late = Output::Tell(Notice::OutOfGrace { key, term });
        assert!(!outputs.contains(&late), "it had none");
    }
}

#[test]
fn work_that_outlives_its_lease_ends_the_process_where_that_is_asked_for() {
    for aborts in [false, true] {
        let mut engined = Engined::leader();
        engined.engine = Engine::new(Setup { aborts, ..setup() }, 0);
        engined.input(Input::Timer);
        engined.sent.clear();
        engined.input(opened());
        engined.join(KEY);
        engined.answer_oldest();
        engined.answer(Answer::Campaigned(vec![tried(id(KEY), began(7))]));
        engined.answer_all();
        engined.input(lost());
        engined.pass(LEASE * 94 / 100);
        assert!(!engined.has_done(&Output::Abort), "too soon");
        engined.pass(LEASE / 50);
        assert_eq!(engined.has_done(&Output::Abort), aborts);
        let (key, term) = (KEY, 7);
        assert!(engined.says(&Notice::Overran { key, term }));
    }
}

#[test]
fn what_could_not_be_ended_is_said_with_who_it_is() {
    let key = KEY;
    for (evicted, said) in [
        (Evicted::Done, None),
        (Evicted::NotAllowed, Some(false)),
        (Evicted::BehindPgpool, Some(true)),
    ] {
        let mut engined = Engined::candidate(KEY);
        while !matches!(engined.sent[..], [Request::Evict(_)]) {
            assert!(engined.sent.len() <= 1);
            if engined.sent.is_empty() {
                engined.now += LEASE / 20;
                engined.input(Input::Timer);
            } else {
                engined.answer_oldest();
            }
        }
        assert_eq!(engined.sent, [Request::Evict(slice(vec![(id(KEY), 7)]))]);
        engined.answer(Answer::Evicted(vec![(id(KEY), Ok(evicted))]));
        for pooled in [false, true] {
            let notice = Notice::NotEvicted {
                key,
                term: 7,
                pooled,
            };
            assert_eq!(engined.says(&notice), said == Some(pooled));
        }
    }
}

#[test]
fn who_stands_in_the_way_of_the_next_term_is_said() {
    let mut engined = Engined::candidate(KEY);
    let lease = LEASE;
    let fenced = Try::Fenced {
        last_term: 7,
        lease,
    };
    engined.answer(Answer::Campaigned(vec![tried(id(KEY), fenced)]));
    loop {
        match &engined.sent[..] {
            [Request::EndFenced(all)] => break assert_eq!(all.of, [id(KEY)]),
            [Request::TakeOffice(_), ..] => {
                engined.answer(Answer::Office(vec![(id(KEY), Ok(Office::Fenced))]));
            }
            [] => {
                engined.now += LEASE / 20;
                engined.input(Input::Timer);
            }
            _ => engined.answer_oldest(),
        }
    }
    let ended = FencedEnded {
        ended: 1,
        remaining: 2,
        who: Some("somebody".into()),
    };
    engined.answer(Answer::FencedEnded(vec![(id(KEY), Ok(ended))]));
    let (key, who) = (KEY, "somebody".into());
    assert!(engined.says(&Notice::FencedRemain { key, who }));
    let (ended, remaining) = (1, 2);
    assert!(engined.says(&Notice::FencedEnded {
        key,
        ended,
        remaining
    }));
}

#[test]
fn a_try_tells_of_each_election_what_is_known_of_it() {
    let mut engined = Engined::candidate(KEY);
    engined.answer_all();
    engined.join(OTHER);
    engined.answer_oldest();
    let [Request::Campaign(bids)] = &engined.sent[..] else {
        panic!("{:?}", engined.sent);
    };
    let of = |key: Key| bids.of.iter().find(|bid| bid.election == id(key));
    assert_eq!(
        of(OTHER).map(|bid| (bid.successor, bid.overdue)),
        Some((false, false))
    );
    assert_eq!(of(OTHER).map(|bid| bid.heard), Some(Heard::default()));
    engined.answer_all();
    engined.outputs(notified(1, &["e1"]));
    let [Request::Campaign(bids)] = &engined.sent[..] else {
        panic!("{:?}", engined.sent);
    };
    let heard = Heard {
        term: 7,
        lease: LEASE,
    };
    let (election, successor, overdue) = (id(KEY), true, false);
    assert_eq!(
        *bids,
        slice(vec![Bid {
            election,
            successor,
            overdue,
            heard
        }])
    );
}
