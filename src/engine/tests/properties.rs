//! What holds in every order of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Something that the world does to the process.
#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Connect(bool),
    Lose,
    Answer(u8),
    Hint(u32),
    Join(u32),
    Leave(u32),
    Resign(u32),
    GiveUp(u32),
    /// The driver fails, and goes on with a new machine.
    Fail,
    Ready(u32),
    Stop(u32, Stop),
    /// An operator makes it so that this process may not lead, or may again.
    Bar(u32, Option<Bar>),
    /// Another host accepts writes or does not, and maybe comes before this one; of one election it is seen whether
    /// it is led there.
    Look(bool, bool, u32, bool),
    Shutdown,
}

fn act() -> impl Strategy<Value = Act> {
    let key = 1..4_u32;
    prop_oneof![
        8 => (0..200_u64).prop_map(Act::Pass),
        1 => (500..2000_u64).prop_map(Act::Pass),
        4 => any::<bool>().prop_map(Act::Connect),
        1 => Just(Act::Lose),
        24 => any::<u8>().prop_map(Act::Answer),
        2 => key.clone().prop_map(Act::Hint),
        3 => key.clone().prop_map(Act::Join),
        1 => key.clone().prop_map(Act::Leave),
        1 => key.clone().prop_map(Act::Resign),
        2 => key.clone().prop_map(Act::GiveUp),
        1 => Just(Act::Fail),
        1 => key.clone().prop_map(Act::Ready),
        4 => (key.clone(), prop_oneof![Just(Stop::Returned), Just(Stop::Failed), Just(Stop::Dropped)])
            .prop_map(|(key, stop)| Act::Stop(key, stop)),
        2 => (key.clone(), prop::option::of(bar())).prop_map(|(key, bar)| Act::Bar(key, bar)),
        2 => (any::<bool>(), prop::bool::weighted(0.1), key, any::<bool>())
            .prop_map(|(contested, higher, key, held)| Act::Look(contested, higher && contested, key, held && contested)),
        1 => Just(Act::Shutdown),
    ]
}

fn bar() -> impl Strategy<Value = Bar> {
    prop_oneof![
        Just(Bar::Suspended),
        Just(Bar::Excluded),
        Just(Bar::Transfer),
        Just(Bar::Outranked),
        Just(Bar::Unknown),
    ]
}

/// The world, as far as the process can tell, and what must be true of it.
struct World {
    bench: Bench,
    connecting: bool,
    joined: BTreeSet<Key>,
    /// The work that runs, by election.
    running: BTreeMap<Key, u64>,
    /// The locks that this session holds.
    leadership: BTreeSet<Key>,
    succession: BTreeSet<Key>,
    /// Why this process may not lead.
    bars: BTreeMap<Key, Bar>,
    /// Whose work has been told that its term is over.
    cancelled: BTreeSet<Key>,
    /// The work that the last event has started.
    started: Vec<(Key, u64)>,
    last_term: u64,
    /// The terms that have begun and are not vacated.
    owed: BTreeMap<Key, u64>,
    /// The greatest term that the process was told of, by election.
    told: BTreeMap<Key, u64>,
    /// The sending of the last query that was answered, on this session.
    contact: Instant,
    shut_down: bool,
    /// Another host accepts writes.
    contested: bool,
    /// What was last seen to be led there.
    held: Vec<Key>,
}

impl World {
    fn new() -> World {
        let bench = Bench::new();
        let now = bench.now;
        World {
            bench,
            connecting: true,
            joined: BTreeSet::new(),
            running: BTreeMap::new(),
            leadership: BTreeSet::new(),
            succession: BTreeSet::new(),
            bars: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            started: vec![],
            last_term: 0,
            owed: BTreeMap::new(),
            told: BTreeMap::new(),
            contact: now,
            shut_down: false,
            contested: false,
            held: vec![],
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Pass(milliseconds) => {
                self.bench.now += Duration::from_millis(milliseconds);
                self.event(Event::Timer);
            }
            Act::Connect(succeeds) if self.connecting => {
                self.connecting = false;
                self.contact = self.bench.now;
                self.event(if succeeds {
                    Event::Connected
                } else {
                    Event::Disconnected
                });
            }
            Act::Lose => self.event(Event::Disconnected),
            Act::Answer(chance) => self.answer(chance),
            Act::Look(contested, higher, key, held) => {
                let (held, clear) = if held {
                    (vec![Key(key)], vec![])
                } else {
                    (vec![], vec![Key(key)])
                };
                self.event(Event::Looked {
                    contested,
                    higher,
                    held,
                    clear,
                });
            }
            Act::Hint(key) => self.event(Event::Hint {
                keys: vec![Key(key)],
            }),
            Act::Join(key) if !self.shut_down && self.joined.insert(Key(key)) => {
                self.event(Event::Join {
                    key: Key(key),
                    autopsy: true,
                });
            }
            Act::Leave(key) => self.event(Event::Leave { key: Key(key) }),
            Act::Resign(key) => {
                let key = Key(key);
                let term = self.running.get(&key).copied().unwrap_or(0);
                self.event(Event::Resign { key, term });
            }
            Act::GiveUp(key) => self.give_up(Key(key)),
            Act::Fail => self.fail(),
            Act::Ready(key) => {
                let key = Key(key);
                let term = self.running.get(&key).copied().unwrap_or(0);
                self.event(Event::Ready { key, term });
            }
            Act::Stop(key, stop) => {
                let key = Key(key);
                if let Some(term) = self.running.remove(&key) {
                    self.event(Event::WorkStopped { key, term, stop });
                }
            }
            Act::Bar(key, bar) => {
                let key = Key(key);
                match bar {
                    Some(bar) => self.bars.insert(key, bar),
                    None => self.bars.remove(&key),
                };
            }
            Act::Shutdown => {
                self.shut_down = true;
                self.event(Event::Shutdown);
            }
            Act::Connect(_) | Act::Join(_) => {}
        }
    }

    /// Nothing is held from here on but what an answer under way may still bring, and what work keeps.
    fn give_up(&mut self, key: Key) {
        self.event(Event::GiveUp { key });
        let asked = |(_, query): &(Instant, Query)| matches!(query, Query::TakeOffice { key: of, .. } if *of == key);
        let keeps = self.leadership.contains(&key) && !self.running.contains_key(&key);
        assert!(
            !keeps || self.bench.asked.iter().any(asked),
            "it keeps the lock"
        );
        let goes_on = self.running.contains_key(&key)
            && self.leadership.contains(&key)
            && !self.cancelled.contains(&key);
        assert!(!goes_on, "asked to give up, and goes on");
    }

    fn fail(&mut self) {
        // The driver tells the new machine before it has a session.
        self.contested = false;
        self.held.clear();
        let timings = Timings::new(LEASE, Duration::from_secs(5), Duration::from_secs(10)).unwrap();
        let heard = self.bench.process.heard().clone();
        self.bench.process = Process::new(timings, 1).remembering(heard);
        self.bench.asked.clear();
        self.leadership.clear();
        self.succession.clear();
        self.connecting = false;
        for key in self.joined.clone() {
            self.event(Event::Return {
                key,
                autopsy: true,
                work: self
                    .running
                    .get(&key)
                    .map(|term| (*term, self.contact + LEASE)),
                owed: self.owed.get(&key).map(|term| (*term, Ending::Deposed)),
            });
            self.cancelled.insert(key);
        }
        if self.shut_down {
            self.event(Event::Shutdown);
        }
        self.event(Event::Timer);
    }

    fn answer(&mut self, chance: u8) {
        if self.bench.asked.is_empty() {
            return;
        }
        let (sent, query) = self.bench.asked.remove(0);
        let overdue = match &query {
            Query::Campaign { overdue, .. } => overdue.clone(),
            _ => vec![],
        };
        let try_one = |world: &mut World, key: Key| match chance % 4 {
            _ if world.bar(key, &overdue).is_some() => Try::Held(Held {
                successor: world.succession.contains(&key),
                bar: world.bar(key, &overdue),
                ..world.held()
            }),
            0 => {
                world.leadership.insert(key);
                world.succession.remove(&key);
                world.last_term += 1;
                // Now and then a server gives out a number again.
                let again = u64::from(chance.is_multiple_of(16));
                Try::Began {
                    term: world.last_term - again,
                }
            }
            1 => {
                world.leadership.insert(key);
                world.succession.remove(&key);
                Try::Won(world.won())
            }
            2 => {
                world.succession.insert(key);
                Try::Held(world.held())
            }
            _ => {
                let successor = world.succession.contains(&key);
                Try::Held(Held {
                    successor,
                    ..world.held()
                })
            }
        };
        let answer = match query {
            Query::Join { key, .. } => joined(key),
            Query::Campaign { keys, .. } => {
                let tries = keys.iter().map(|key| (*key, try_one(self, *key))).collect();
                Answer::Campaigned { tries }
            }
            Query::TakeOffice { key, waited, .. } => {
                let office = if let Some(bar) = self.bar(key, &[key]) {
                    Office::Barred(bar)
                } else if waited || chance.is_multiple_of(2) {
                    self.last_term += 1;
                    Office::Began {
                        term: self.last_term,
                    }
                } else {
                    still_waiting()
                };
                Answer::Office { key, office }
            }
            Query::Prove => Answer::Heartbeat { step_downs: vec![] },
            Query::Heartbeat { keys } => {
                let orders = |key: &Key| {
                    let orders = [Bar::Suspended, Bar::Excluded];
                    self.bars.get(key).is_some_and(|bar| orders.contains(bar))
                };
                let told = keys.into_iter().filter(orders);
                let term = |key: Key| Some((key, *self.running.get(&key)?));
                Answer::Heartbeat {
                    step_downs: told.filter_map(term).collect(),
                }
            }
            Query::Vacate { key, term, .. } => Answer::Vacated {
                key,
                term,
                done: !chance.is_multiple_of(8),
            },
            Query::Read => {
                let view = |key: &Key| View {
                    term: self.last_term,
                    lease: Some(LEASE),
                    vacant: chance.is_multiple_of(2),
                    bar: self.bar(*key, &[*key]),
                    called: chance.is_multiple_of(3) && !self.bars.contains_key(key),
                };
                Answer::Read {
                    views: self.joined.iter().map(|key| (*key, view(key))).collect(),
                }
            }
            Query::Leave { key } => Answer::Left { key },
            Query::BackendGone { key, .. } => Answer::BackendGone {
                key,
                gone: chance.is_multiple_of(2),
            },
            Query::Counters { key } => Answer::Counters {
                key,
                counters: COUNTERS,
            },
            _ => Answer::Done,
        };
        match &answer {
            Answer::Campaigned { tries } => {
                for (key, tried) in tries {
                    if let Try::Began { term } = tried {
                        self.owed.insert(*key, *term);
                    }
                }
            }
            Answer::Office {
                key,
                office: Office::Began { term },
            } => drop(self.owed.insert(*key, *term)),
            Answer::Vacated {
                key, done: true, ..
            } => drop(self.owed.remove(key)),
            _ => {}
        }
        let obeyed = answer.clone();
        let before = self.told.clone();
        self.tells(&answer);
        let rows = vec![];
        self.event(Event::Answered { sent, answer, rows });
        self.contact = self.contact.max(sent);
        self.assert_obeyed(&obeyed);
        for (key, term) in std::mem::take(&mut self.started) {
            let told = before.get(&key).copied().unwrap_or(0);
            assert!(
                term > told,
                "it works on term {term} and was told of {told}"
            );
        }
    }

    /// Take note of what an answer tells.
    fn tells(&mut self, answer: &Answer) {
        let mut tells = |key: &Key, term: u64| {
            let told = self.told.entry(*key).or_default();
            *told = (*told).max(term);
        };
        match answer {
            Answer::Campaigned { tries } => {
                for (key, tried) in tries {
                    tells(
                        key,
                        match tried {
                            Try::Began { term } => *term,
                            Try::Won(won) => won.heard.term,
                            Try::Fenced { last_term, .. } => *last_term,
                            Try::Held(held) => held.term,
                        },
                    );
                }
            }
            Answer::Office { key, office } => match office {
                Office::Began { term } => tells(key, *term),
                Office::Waiting { heard, .. } => tells(key, heard.term),
                Office::Fenced | Office::Barred(_) => {}
            },
            Answer::Read { views } => {
                for (key, view) in views {
                    tells(key, view.term);
                }
            }
            _ => {}
        }
    }

    fn held(&self) -> Held {
        Held {
            term: self.last_term,
            ..held()
        }
    }

    fn won(&self) -> Won {
        let term = self.last_term;
        Won {
            last_term: term,
            heard: Heard { term, lease: LEASE },
            ..won()
        }
    }

    /// Who may not lead keeps no lock, and whose term must end ends it.
    fn assert_obeyed(&self, answer: &Answer) {
        match answer {
            Answer::Office {
                key,
                office: Office::Barred(bar),
            } if *bar != Bar::Unknown => {
                assert!(!self.leadership.contains(key), "barred, and keeps the lock")
            }
            Answer::Campaigned { tries } => {
                for (key, tried) in tries {
                    if let Try::Held(held) = tried
                        && held.bar.is_some_and(|bar| bar != Bar::Unknown)
                    {
                        let keeps = self.succession.contains(key);
                        assert!(!keeps, "barred, and keeps the successor's place");
                    }
                }
            }
            Answer::Heartbeat { step_downs } => {
                for (key, term) in step_downs {
                    let goes_on =
                        self.running.get(key) == Some(term) && !self.cancelled.contains(key);
                    assert!(!goes_on, "asked to end, and goes on");
                }
            }
            _ => {}
        }
    }

    /// Rank is no bar to what is overdue.
    fn bar(&self, key: Key, overdue: &[Key]) -> Option<Bar> {
        let bar = self.bars.get(&key).copied();
        bar.filter(|bar| *bar != Bar::Outranked || !overdue.contains(&key))
    }

    fn event(&mut self, event: Event) {
        let asked = self.bench.asked.len();
        let contact = match &event {
            Event::Answered { sent, .. } => self.contact.max(*sent),
            _ => self.contact,
        };
        let clear = match &event {
            Event::Looked {
                contested,
                held,
                clear,
                ..
            } => {
                self.contested = *contested;
                self.held.clone_from(held);
                clear.clone()
            }
            _ => vec![],
        };
        let higher = matches!(event, Event::Looked { higher: true, .. });
        self.bench.event(event);
        let abandoned = self
            .bench
            .has_done(|action| matches!(action, Action::Abandon));
        let new = if abandoned {
            &self.bench.asked[..]
        } else {
            &self.bench.asked[asked..]
        };
        if abandoned {
            self.leadership.clear();
            self.succession.clear();
        }
        for (_, query) in new {
            let tried = match query {
                Query::Campaign { keys, .. } => keys.clone(),
                Query::TakeOffice { key, .. } => vec![*key],
                _ => vec![],
            };
            let clear = !self.contested || tried.iter().all(|key| clear.contains(key));
            assert!(clear, "it tries without a sight of the other hosts");
            match query {
                Query::Campaign {
                    keys, successor_of, ..
                } => {
                    for key in keys {
                        assert!(
                            !self.running.contains_key(key),
                            "it campaigns while its work runs"
                        );
                        assert!(!self.leadership.contains(key), "the lock would stack");
                        let known = successor_of.contains(key);
                        assert_eq!(known, self.succession.contains(key), "the lock would stack");
                    }
                }
                Query::Vacate { key, term, .. } => {
                    let running = self.running.get(key);
                    assert_ne!(running, Some(term), "vacated while its work runs");
                }
                Query::Release {
                    leadership,
                    succession,
                    ..
                } => {
                    for key in leadership {
                        assert!(
                            !self.running.contains_key(key),
                            "released while its work runs"
                        );
                        assert!(
                            self.leadership.remove(key),
                            "released what it does not hold"
                        );
                    }
                    for key in succession {
                        assert!(
                            self.succession.remove(key),
                            "released what it does not hold"
                        );
                    }
                }
                _ => {}
            }
        }
        for action in std::mem::take(&mut self.bench.done) {
            match action {
                Action::Connect => self.connecting = true,
                Action::Cancel { key } => {
                    self.cancelled.insert(key);
                }
                Action::Start { key, term } => {
                    self.cancelled.remove(&key);
                    assert!(!self.held.contains(&key), "it was seen led elsewhere");
                    let overlap = self.running.insert(key, term);
                    assert_eq!(overlap, None, "two works of one election in one process");
                    assert!(self.leadership.contains(&key), "work without the lock");
                    self.started.push((key, term));
                    assert!(
                        self.bench.now < contact + LEASE * 75 / 100,
                        "work after its deadline"
                    );
                }
                Action::GaveUp { key } => {
                    assert!(!self.running.contains_key(&key), "its work runs");
                    assert!(!self.leadership.contains(&key), "it holds the lock");
                }
                Action::Left { key } => {
                    assert!(!self.running.contains_key(&key), "gone while its work runs");
                    self.joined.remove(&key);
                }
                Action::Finish => assert!(self.running.is_empty() && self.joined.is_empty()),
                _ => {}
            }
        }
        let told = |key: &Key| self.cancelled.contains(key);
        assert!(
            !higher || self.running.keys().all(told),
            "it works on below a higher host"
        );
        let leads = self.running.keys().any(|key| self.leadership.contains(key));
        if leads {
            let until = self
                .bench
                .process
                .current_until()
                .expect("a lock needs a session");
            assert!(until > self.bench.now, "it leads past its deadline");
        }
        assert!(
            self.bench.process.deadline() > self.bench.now,
            "it would be woken again at once"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_of_events(acts in prop::collection::vec(act(), 1..200)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
    }
}
