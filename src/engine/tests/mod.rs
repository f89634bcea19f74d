//! Tables of what the machine does, and properties that hold in any order of events.

mod alone;
mod apart;
mod autopsy;
mod broken_rules;
mod due;
mod durations;
mod ending;
mod fencing;
mod following;
mod handle;
mod heard;
mod hosts;
mod inputs;
mod levers;
mod lookout;
mod overlooked;
mod parting;
mod properties;
mod restart;
mod returning;
mod rivals;
mod sight;
mod slices;
mod standing;
mod thousands;

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

/// More than any test brings in: what would wait for ever fails.
const ENDLESS: u32 = 20_000;

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
    events: u32,
}

impl Bench {
    fn new() -> Bench {
        Bench::with_lease(LEASE)
    }

    fn with_lease(lease: Duration) -> Bench {
        let timings = Timings::new(lease, Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        let now = Instant::from_nanos(1_000_000_000_000);
        let process = Process::new(timings, 0);
        let mut bench = Bench {
            process,
            now,
            asked: vec![],
            done: vec![],
            published: BTreeMap::new(),
            events: 0,
        };
        bench.event(Event::Timer);
        bench
    }

    fn event(&mut self, event: Event) {
        self.events += 1;
        assert!(self.events < ENDLESS, "it goes on for ever: {event:?}");
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

    /// Reply the oldest query that `wanted` picks.
    fn answer(&mut self, wanted: impl Fn(&Query) -> bool, reply: Reply) {
        let index = self.asked.iter().position(|(_, query)| wanted(query));
        let index =
            index.unwrap_or_else(|| panic!("not asked: {reply:?}; asked: {:?}", self.asked));
        let (sent, _) = self.asked.remove(index);
        let rows = vec![];
        self.event(Event::Answered {
            sent,
            reply,
            rows,
            refused: vec![],
            unreached: vec![],
        });
    }

    fn answer_campaign(&mut self, tried: Try) {
        let is_campaign = |query: &Query| matches!(query, Query::Campaign { .. });
        self.answer(
            is_campaign,
            Reply::Campaigned {
                tries: vec![(KEY, tried)],
            },
        );
    }

    fn answer_heartbeat(&mut self) {
        self.answer(is_heartbeat, Reply::Heartbeat { step_downs: vec![] });
    }

    fn answer_heartbeats(&mut self) {
        while self.has_asked(is_heartbeat) {
            self.answer_heartbeat();
        }
    }

    /// The session is well: heartbeats and announcements are answered, nothing is vacated meanwhile.
    fn stay_well(&mut self) {
        let asks =
            |query: &Query| matches!(query, Query::TakeOffice { takes } if !takes[0].1.waited);
        while self.has_asked(asks) {
            let office = still_waiting();
            self.answer(asks, offered(KEY, office));
        }
        self.answer_heartbeats();
        while self.has_asked(|query| matches!(query, Query::Announce { .. })) {
            self.answer(
                |query| matches!(query, Query::Announce { .. }),
                Reply::Announced,
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
        bench.event(Event::Join {
            key: KEY,
            autopsy,
            graceful: true,
        });
        bench.answer(|query| matches!(query, Query::Join { .. }), joined(KEY));
        bench
    }

    fn leader() -> Bench {
        let mut bench = Bench::candidate();
        bench.answer_campaign(began(7));
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
        stranger: None,
        successor: true,
        silent_since: Some(1),
        counters: COUNTERS,
        watched: false,
        bar: None,
    }
}

fn joined(key: Key) -> Reply {
    let heard = Heard::default();
    Reply::Joined {
        joined: vec![(key, heard)],
    }
}

fn offered(key: Key, office: Office) -> Reply {
    let offices = vec![(key, office)];
    Reply::Office { offices }
}

fn vacated(key: Key, term: u64, done: bool) -> Reply {
    let vacated = vec![(key, term, done)];
    Reply::Vacated { vacated }
}

fn fenced_ended(key: Key, ended: u32, remaining: u32) -> Reply {
    let ended = vec![(key, ended, remaining)];
    Reply::FencedEnded { ended }
}

fn left(key: Key) -> Reply {
    let keys = vec![key];
    Reply::Left { keys }
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

fn began(term: u64) -> Try {
    let token = "token".into();
    Try::Began { term, token }
}

fn office_begun(term: u64) -> Office {
    let token = "token".into();
    Office::Began { term, token }
}
