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
    /// The terms that were greater, when they were told of, than any that had been.
    new: BTreeSet<(Key, u64)>,
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
    /// What is seen at this moment not to be led there.
    clear: Vec<Key>,
    /// The connection string names several hosts.
    several: bool,
    /// A look is under way, and these locks were held all the while.
    looking: Option<BTreeSet<Key>>,
    /// These were held while the other hosts were looked at, from the beginning to the end.
    looked: BTreeSet<Key>,
}

impl World {
    fn new(several: bool) -> World {
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
            new: BTreeSet::new(),
            last_term: 0,
            owed: BTreeMap::new(),
            told: BTreeMap::new(),
            contact: now,
            shut_down: false,
            contested: false,
            held: vec![],
            clear: vec![],
            several,
            looking: None,
            looked: BTreeSet::new(),
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
                if succeeds && self.several {
                    self.sees(self.contested, false, vec![], vec![], false);
                }
                self.event(if succeeds {
                    Event::Connected
                } else {
                    Event::Disconnected
                });
            }
            Act::Lose => self.event(Event::Disconnected),
            Act::Answer(chance) => self.answer(chance),
            Act::Look(contested, higher, key, held) if self.several => {
                self.look(contested, higher, Key(key), held);
            }
            Act::Hint(key) => self.event(Event::Hint {
                keys: vec![Key(key)],
            }),
            Act::Join(key) if !self.shut_down && self.joined.insert(Key(key)) => {
                self.event(Event::Join {
                    key: Key(key),
                    autopsy: true,
                    graceful: true,
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
            Act::Connect(_) | Act::Join(_) | Act::Look(..) => {}
        }
    }

    fn look(&mut self, contested: bool, higher: bool, key: Key, held: bool) {
        let Some(looking) = self.looking.take() else {
            if self.bench.process.current_until().is_some() {
                self.bench.process.look_begins();
                self.looking = Some(self.leadership.clone());
            }
            return;
        };
        self.looked.extend(looking);
        let (held, clear) = if held {
            (vec![key], vec![])
        } else {
            (vec![], vec![key])
        };
        self.sees(contested, higher, held, clear, true);
        let told = |key: &Key| self.cancelled.contains(key);
        assert!(
            !higher || self.running.keys().all(told),
            "it works on below a higher host"
        );
    }

    fn sees(&mut self, contested: bool, higher: bool, held: Vec<Key>, clear: Vec<Key>, ends: bool) {
        self.contested = contested;
        self.held.clone_from(&held);
        self.clear.clone_from(&clear);
        self.event(Event::Looked {
            contested,
            higher,
            held,
            clear,
            ends,
        });
        self.clear.clear();
    }

    /// Nothing is held from here on but what an answer under way may still bring, what work keeps, and what is let go of
    /// once the vacates under way are answered.
    fn give_up(&mut self, key: Key) {
        self.event(Event::GiveUp { key });
        let asked = |(_, query): &(Instant, Query)| match query {
            Query::TakeOffice { takes } => takes.iter().any(|(of, _)| *of == key),
            Query::Vacate { .. } => true,
            _ => false,
        };
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
        self.looking = None;
        self.bench.process = self.bench.process.renewed();
        self.bench.asked.clear();
        self.leadership.clear();
        self.succession.clear();
        self.connecting = false;
        for key in self.joined.clone() {
            self.event(Event::Return {
                key,
                autopsy: true,
                graceful: true,
                work: self
                    .running
                    .get(&key)
                    .map(|term| (*term, self.contact + LEASE * 3 / 4)),
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
        let (sent, mut query) = self.bench.asked.remove(0);
        let (refused, unreached) = slice(&mut query, chance);
        let answer = self.reply(query, chance);
        self.owes(&answer);
        let obeyed = answer.clone();
        self.tells(&answer);
        let (reply, rows) = (answer, vec![]);
        self.event(Event::Answered {
            sent,
            reply,
            rows,
            refused,
            unreached,
        });
        self.contact = self.contact.max(sent);
        self.assert_obeyed(&obeyed);
    }

    /// What a database says, that gives out locks and terms by chance.
    fn reply(&mut self, query: Query, chance: u8) -> Reply {
        match query {
            Query::Join { joins } => Reply::Joined {
                joined: joins
                    .into_iter()
                    .map(|(key, _)| (key, Heard::default()))
                    .collect(),
            },
            Query::Campaign { keys, overdue, .. } => {
                let tries = keys.into_iter();
                let tries = tries.map(|key| (key, self.try_one(key, &overdue, chance)));
                Reply::Campaigned {
                    tries: tries.collect(),
                }
            }
            Query::TakeOffice { takes } => {
                let office =
                    |(key, taking): (Key, Taking)| (key, self.office(key, &taking, chance));
                Reply::Office {
                    offices: takes.into_iter().map(office).collect(),
                }
            }
            Query::Ready { terms } => Reply::Recorded {
                recorded: terms.into_iter().map(|(key, _)| (key, true)).collect(),
            },
            Query::Prove => Reply::Heartbeat { step_downs: vec![] },
            Query::Heartbeat { keys } => Reply::Heartbeat {
                step_downs: self.step_downs(&keys),
            },
            Query::Vacate { terms } => {
                let done = !chance.is_multiple_of(8);
                let vacated = terms.into_iter().map(|(key, term, _)| (key, term, done));
                Reply::Vacated {
                    vacated: vacated.collect(),
                }
            }
            Query::Read { keys } => Reply::Read {
                views: keys
                    .iter()
                    .map(|key| (*key, self.view(*key, chance)))
                    .collect(),
            },
            Query::Leave { keys } => Reply::Left { keys },
            Query::BackendGone { terms } => {
                let gone = chance.is_multiple_of(2);
                Reply::BackendGone {
                    gone: terms.into_iter().map(|(key, _)| (key, gone)).collect(),
                }
            }
            Query::Counters { keys } => Reply::Counters {
                keys,
                counters: COUNTERS,
            },
            Query::Evict { .. } => Reply::Evicted,
            Query::EndFenced { keys } => Reply::FencedEnded {
                ended: keys.into_iter().map(|key| (key, 1, 0)).collect(),
            },
            Query::Announce { keys } if chance.is_multiple_of(4) => Reply::NotAnnounced {
                keys,
                why: "lock timeout".into(),
            },
            Query::Announce { .. } => Reply::Announced,
            _ => Reply::Done,
        }
    }

    fn try_one(&mut self, key: Key, overdue: &[Key], chance: u8) -> Try {
        let mut held = Held {
            successor: self.succession.contains(&key),
            ..self.held()
        };
        if let Some(bar) = self.bar(key, overdue) {
            held.bar = Some(bar);
            return Try::Held(held);
        }
        match chance % 4 {
            0 => {
                self.wins(key);
                self.last_term += 1;
                // Now and then a server gives out a number again.
                let again = u64::from(chance.is_multiple_of(16));
                return began(self.last_term - again);
            }
            1 => {
                self.wins(key);
                return Try::Won(self.won());
            }
            2 => {
                self.succession.insert(key);
                held.successor = true;
            }
            _ => {}
        }
        Try::Held(held)
    }

    fn wins(&mut self, key: Key) {
        self.leadership.insert(key);
        self.succession.remove(&key);
        self.looked.remove(&key);
        self.looking.as_mut().map(|looking| looking.remove(&key));
    }

    fn office(&mut self, key: Key, taking: &Taking, chance: u8) -> Office {
        if let Some(bar) = self.bar(key, &[key]) {
            Office::Barred(bar)
        } else if taking.waited || chance.is_multiple_of(2) {
            self.last_term += 1;
            office_begun(self.last_term)
        } else {
            still_waiting()
        }
    }

    /// An operator's orders, to whom they are told.
    fn step_downs(&self, keys: &[Key]) -> Vec<(Key, u64)> {
        let orders = |key: &&Key| {
            let orders = [Bar::Suspended, Bar::Excluded];
            self.bars.get(key).is_some_and(|bar| orders.contains(bar))
        };
        let term = |key: &Key| Some((*key, *self.running.get(key)?));
        keys.iter().filter(orders).filter_map(term).collect()
    }

    fn view(&self, key: Key, chance: u8) -> View {
        View {
            term: self.last_term,
            lease: Some(LEASE),
            vacant: chance.is_multiple_of(2),
            bar: self.bar(key, &[key]),
            called: chance.is_multiple_of(3) && !self.bars.contains_key(&key),
        }
    }

    /// Take note of what an answer gives to be vacated, and of what is.
    fn owes(&mut self, answer: &Reply) {
        match answer {
            Reply::Campaigned { tries } => {
                for (key, tried) in tries {
                    if let Try::Began { term, .. } = tried {
                        self.owed.insert(*key, *term);
                    }
                }
            }
            Reply::Office { offices } => {
                for (key, office) in offices {
                    if let Office::Began { term, .. } = office {
                        self.owed.insert(*key, *term);
                    }
                }
            }
            Reply::Vacated { vacated } => {
                for (key, _, done) in vacated {
                    if *done {
                        self.owed.remove(key);
                    }
                }
            }
            _ => {}
        }
    }

    /// Take note of what an answer tells.
    fn tells(&mut self, answer: &Reply) {
        let mut tells = |key: &Key, term: u64| {
            let told = self.told.entry(*key).or_default();
            if term > *told {
                self.new.insert((*key, term));
            }
            *told = (*told).max(term);
        };
        match answer {
            Reply::Campaigned { tries } => {
                for (key, tried) in tries {
                    tells(
                        key,
                        match tried {
                            Try::Began { term, .. } => *term,
                            Try::Won(won) => won.heard.term,
                            Try::Fenced { last_term, .. } => *last_term,
                            Try::Held(held) => held.term,
                        },
                    );
                }
            }
            Reply::Office { offices } => {
                for (key, office) in offices {
                    match office {
                        Office::Began { term, .. } => tells(key, *term),
                        Office::Waiting { heard, .. } => tells(key, heard.term),
                        Office::Fenced | Office::Barred(_) => {}
                    }
                }
            }
            Reply::Read { views } => {
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
    fn assert_obeyed(&self, answer: &Reply) {
        match answer {
            Reply::Office { offices } => {
                for (key, office) in offices {
                    let barred = matches!(office, Office::Barred(bar) if *bar != Bar::Unknown);
                    let keeps = barred && self.leadership.contains(key);
                    assert!(!keeps, "barred, and keeps the lock");
                }
            }
            Reply::Campaigned { tries } => {
                for (key, tried) in tries {
                    if let Try::Held(held) = tried
                        && held.bar.is_some_and(|bar| bar != Bar::Unknown)
                    {
                        let keeps = self.succession.contains(key);
                        assert!(!keeps, "barred, and keeps the successor's place");
                    }
                }
            }
            Reply::Heartbeat { step_downs } => {
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
        self.bench.event(event);
        let abandoned = self
            .bench
            .has_done(|action| matches!(action, Action::Abandon));
        let asked = if abandoned { 0 } else { asked };
        if abandoned {
            self.leadership.clear();
            self.succession.clear();
            self.looking = None;
        }
        let new: Vec<Query> = (self.bench.asked[asked..].iter())
            .map(|(_, query)| query.clone())
            .collect();
        for query in &new {
            self.asks(query);
        }
        for action in std::mem::take(&mut self.bench.done) {
            self.does(action, contact);
        }
        let leads = self.running.keys().any(|key| self.leadership.contains(key));
        if leads {
            let until = self.bench.process.current_until();
            let until = until.expect("a lock needs a session");
            assert!(until > self.bench.now, "it leads past its deadline");
        }
        assert!(
            self.bench.process.deadline() > self.bench.now,
            "it would be woken again at once"
        );
    }

    /// What it asks for fits what it has.
    fn asks(&mut self, query: &Query) {
        let tried = match query {
            Query::Campaign { keys, .. } => keys.clone(),
            Query::TakeOffice { takes } => takes.iter().map(|(key, _)| *key).collect(),
            _ => vec![],
        };
        let clear = !self.contested || tried.iter().all(|key| self.clear.contains(key));
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
            Query::Vacate { terms } => {
                for (key, term, _) in terms {
                    let running = self.running.get(key);
                    assert_ne!(running, Some(term), "vacated while its work runs");
                }
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

    /// What it does fits what it has. `contact`: before the event.
    fn does(&mut self, action: Action, contact: Instant) {
        match action {
            Action::Connect => self.connecting = true,
            Action::Cancel { key } => {
                self.cancelled.insert(key);
            }
            Action::Start { key, term } => {
                self.cancelled.remove(&key);
                assert!(!self.held.contains(&key), "it was seen led elsewhere");
                let looked = !self.several || self.looked.contains(&key);
                assert!(looked, "nobody has looked since the lock was won");
                let overlap = self.running.insert(key, term);
                assert_eq!(overlap, None, "two works of one election in one process");
                assert!(self.leadership.contains(&key), "work without the lock");
                let new = self.new.contains(&(key, term));
                assert!(new, "it works on term {term} and was told of a greater one");
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
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_of_events(several in any::<bool>(), acts in prop::collection::vec(act(), 1..200)) {
        let mut world = World::new(several);
        for act in acts {
            world.act(act);
        }
    }
}

/// Of a slice the server reaches the first ones, and refuses one of them now and then. The query is what is left of it.
fn slice(query: &mut Query, chance: u8) -> (Vec<(Key, Refused)>, Vec<Key>) {
    let (mut refused, mut unreached) = (vec![], vec![]);
    let refuses = chance % 16 == 15;
    let mut cut = |mut keys: Vec<Key>| {
        if chance / 16 % 4 == 3 {
            unreached = keys.split_off(keys.len().min(1));
        }
        if refuses && !keys.is_empty() {
            let why = "for no reason".into();
            let no_room = chance / 64 == 3;
            refused.push((
                keys.remove(0),
                Refused {
                    why,
                    no_room,
                    taken: Taken::default(),
                },
            ));
        }
        keys
    };
    match query {
        Query::Campaign { keys, .. }
        | Query::Leave { keys }
        | Query::EndFenced { keys }
        | Query::Read { keys } => *keys = cut(keys.clone()),
        Query::Join { joins } => {
            let kept = cut(joins.iter().map(|(key, _)| *key).collect());
            joins.retain(|(key, _)| kept.contains(key));
        }
        Query::TakeOffice { takes } => {
            let kept = cut(takes.iter().map(|(key, _)| *key).collect());
            takes.retain(|(key, _)| kept.contains(key));
        }
        Query::Vacate { terms } => {
            let kept = cut(terms.iter().map(|(key, _, _)| *key).collect());
            terms.retain(|(key, _, _)| kept.contains(key));
        }
        Query::Ready { terms } | Query::BackendGone { terms } | Query::Evict { terms } => {
            let kept = cut(terms.iter().map(|(key, _)| *key).collect());
            terms.retain(|(key, _)| kept.contains(key));
        }
        _ => {}
    }
    (refused, unreached)
}
