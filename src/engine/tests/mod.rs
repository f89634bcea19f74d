//! Tables of what the machine does, and properties that hold in any order of events.

mod autopsy;
mod due;
mod ending;
mod fencing;
mod following;
mod heard;
mod hosts;
mod levers;
mod properties;
mod returning;
mod standing;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const LEASE: Duration = Duration::from_millis(1000);
const KEY: Key = Key(1);
const COUNTERS: Counters = Counters {
    killed: 3,
    fatal: 5,
    reset: 7,
};
const LEADER: i32 = 100;

/// A process with its clock; the test is everything else.
struct Bench {
    process: Process,
    now: Instant,
    /// What has been asked and not answered, oldest first.
    asked: Vec<(Instant, Query)>,
    /// Everything else that the machine wanted.
    done: Vec<Action>,
    /// What everybody sees.
    published: BTreeMap<Key, Published>,
}

impl Bench {
    fn new() -> Bench {
        let timings = Timings::new(LEASE, Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        let now = Instant::from_nanos(1_000_000_000_000);
        let process = Process::new(timings, 0);
        let mut bench = Bench {
            process,
            now,
            asked: vec![],
            done: vec![],
            published: BTreeMap::new(),
        };
        bench.event(Event::Timer);
        bench
    }

    fn event(&mut self, event: Event) {
        self.process.handle(self.now, event);
        while let Some(action) = self.process.poll() {
            match action {
                Action::Send { sent, query } => self.asked.push((sent, query)),
                Action::Publish { key, published } => {
                    self.published.insert(key, published);
                }
                action => {
                    if matches!(action, Action::Abandon) {
                        self.asked.clear();
                    }
                    if let Action::Start { key, term } = action {
                        let own = self.published.get(&key).and_then(|shown| shown.own);
                        assert_eq!(own, Some(term), "it works before others can see it");
                    }
                    self.done.push(action);
                }
            }
        }
    }

    /// Let time pass, waking the machine whenever it asks for it.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let wake = self.process.deadline();
            if wake > until {
                break;
            }
            self.now = self.now.max(wake);
            self.event(Event::Timer);
            assert!(
                self.process.deadline() > self.now,
                "it would be woken again at once"
            );
        }
        self.now = until;
        self.event(Event::Timer);
    }

    /// Answer the oldest query that `wanted` picks.
    fn answer(&mut self, wanted: impl Fn(&Query) -> bool, answer: Answer) {
        let index = self.asked.iter().position(|(_, query)| wanted(query));
        let index =
            index.unwrap_or_else(|| panic!("not asked: {answer:?}; asked: {:?}", self.asked));
        let (sent, _) = self.asked.remove(index);
        let rows = vec![];
        self.event(Event::Answered { sent, answer, rows });
    }

    fn answer_campaign(&mut self, tried: Try) {
        let is_campaign = |query: &Query| matches!(query, Query::Campaign { .. });
        self.answer(
            is_campaign,
            Answer::Campaigned {
                tries: vec![(KEY, tried)],
            },
        );
    }

    fn answer_heartbeat(&mut self) {
        self.answer(is_heartbeat, Answer::Heartbeat { step_downs: vec![] });
    }

    /// The session is well: heartbeats and announcements are answered, nothing is vacated meanwhile.
    fn stay_well(&mut self) {
        let asks = |query: &Query| matches!(query, Query::TakeOffice { waited: false, .. });
        while self.has_asked(asks) {
            let office = still_waiting();
            self.answer(asks, Answer::Office { key: KEY, office });
        }
        while self.has_asked(is_heartbeat) {
            self.answer_heartbeat();
        }
        while self.has_asked(|query| matches!(query, Query::Announce { .. })) {
            self.answer(
                |query| matches!(query, Query::Announce { .. }),
                Answer::Done,
            );
        }
    }

    fn has_asked(&self, wanted: impl Fn(&Query) -> bool) -> bool {
        self.asked.iter().any(|(_, query)| wanted(query))
    }

    fn has_done(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.done.iter().any(wanted)
    }

    fn gave_up(&self) -> bool {
        self.has_done(|action| *action == Action::GaveUp { key: KEY })
    }

    fn has_started(&self) -> bool {
        self.has_done(|action| matches!(action, Action::Start { .. }))
    }

    /// A candidate on a session, its first try under way.
    fn candidate() -> Bench {
        Bench::candidate_with(true)
    }

    fn candidate_with(autopsy: bool) -> Bench {
        let mut bench = Bench::new();
        bench.event(Event::Connected);
        bench.event(Event::Join { key: KEY, autopsy });
        bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
        bench
    }

    fn leader() -> Bench {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Began { term: 7 });
        assert!(bench.has_started());
        bench.stay_well();
        bench.done.clear();
        bench
    }

    /// The successor of the leader of term 7, its first probe answered.
    fn successor() -> Bench {
        let mut bench = Bench::candidate();
        bench.answer_campaign(Try::Held(held()));
        bench
    }
}

fn is_heartbeat(query: &Query) -> bool {
    matches!(query, Query::Heartbeat { .. } | Query::Prove)
}

fn held() -> Held {
    Held {
        term: 7,
        leader_pid: Some(LEADER),
        holder_pid: Some(LEADER),
        lease: Some(LEASE),
        stranger: false,
        successor: true,
        silent_since: Some(1),
        counters: COUNTERS,
        watched: false,
        bar: None,
    }
}

fn joined(key: Key) -> Answer {
    let heard = Heard::default();
    Answer::Joined { key, heard }
}

/// The last term is not vacated.
fn still_waiting() -> Office {
    Office::Waiting {
        elsewhere: Duration::ZERO,
        heard: Heard::default(),
    }
}

fn view() -> View {
    View {
        term: 7,
        lease: Some(LEASE),
        vacant: false,
        bar: None,
        called: false,
    }
}

fn won() -> Won {
    Won {
        last_term: 7,
        last_pid: Some(LEADER),
        direct: true,
        wait: LEASE,
        elsewhere: Duration::ZERO,
        heard: Heard {
            term: 7,
            lease: LEASE,
        },
        watched: None,
    }
}
