//! What holds in every order of inputs, with restarts and rules that break among them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::broken_rules::broke;
use super::handle::{Engined, candidature, id, not_opened, opened, setup, tried};
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Open(bool),
    Lose,
    /// The oldest request; the first of an election's tries begins a term, where this is even.
    Answer(u8),
    Refuse,
    Join(u32),
    Leave(u32),
    GiveUp(u32),
    Stop(u32, Stop),
    Hint(u32),
    Restart,
    /// After so many steps the rules panic.
    Break(u32),
    Shutdown,
}

fn act() -> impl Strategy<Value = Act> {
    let key = 1..4_u32;
    let stop = prop_oneof![
        Just(Stop::Returned),
        Just(Stop::Failed),
        Just(Stop::Dropped),
        Just(Stop::Stranded)
    ];
    prop_oneof![
        8 => (0..200_u64).prop_map(Act::Pass),
        2 => (500..2000_u64).prop_map(Act::Pass),
        4 => any::<bool>().prop_map(Act::Open),
        1 => Just(Act::Lose),
        24 => any::<u8>().prop_map(Act::Answer),
        1 => Just(Act::Refuse),
        3 => key.clone().prop_map(Act::Join),
        1 => key.clone().prop_map(Act::Leave),
        2 => key.clone().prop_map(Act::GiveUp),
        4 => (key.clone(), stop).prop_map(|(key, stop)| Act::Stop(key, stop)),
        2 => key.prop_map(Act::Hint),
        1 => Just(Act::Restart),
        1 => (0..12_u32).prop_map(Act::Break),
        1 => Just(Act::Shutdown),
    ]
}

/// The world, as far as the engine can tell, and what must be true of it.
struct World {
    engined: Engined,
    opening: bool,
    open: bool,
    /// The candidacies that are not over, by number.
    joined: BTreeMap<Key, u64>,
    numbers: u64,
    /// Those whose handle waits.
    resigning: Vec<(Key, u64)>,
    running: BTreeMap<Key, u64>,
    last_term: u64,
    shut_down: bool,
}

impl World {
    fn new() -> World {
        let mut world = World {
            engined: Engined::with(setup()),
            opening: false,
            open: false,
            joined: BTreeMap::new(),
            numbers: 0,
            resigning: vec![],
            running: BTreeMap::new(),
            last_term: 0,
            shut_down: false,
        };
        world.look();
        world
    }

    fn input(&mut self, input: Input) {
        self.engined.input(input);
        self.look();
    }

    fn restart(&mut self) {
        (self.open, self.opening) = (false, false);
        self.engined.sent.clear();
        let running = self.running.iter().map(|(key, term)| (*key, *term));
        let running = running.collect();
        self.input(Input::Restarted { running });
    }

    /// What came out, in its order.
    fn look(&mut self) {
        let mut begun = BTreeMap::new();
        let mut said = false;
        for output in std::mem::take(&mut self.engined.done) {
            assert!(
                !said || matches!(output, Output::Tell(_)),
                "{output:?} after what is said"
            );
            match output {
                Output::Open { .. } => self.opening = true,
                Output::Send(_) => assert!(self.open, "there is no session"),
                Output::LetGo => self.open = false,
                Output::Begin { key, term, .. } => drop(begun.insert(key, term)),
                Output::Start { key, term } => {
                    assert_eq!(begun.remove(&key), Some(term), "nothing was begun");
                    let other = self.running.insert(key, term);
                    assert_eq!(other, None, "two works of one election");
                    assert!(self.open && self.joined.contains_key(&key));
                }
                Output::Resigned { key, candidacy, .. } => {
                    self.resigning.retain(|one| *one != (key, candidacy));
                }
                Output::Left { key } => {
                    assert!(self.joined.remove(&key).is_some(), "it had left before");
                    assert!(!self.running.contains_key(&key), "its work runs");
                    self.resigning.retain(|(of, _)| *of != key);
                }
                Output::Finished { .. } => assert!(self.running.is_empty()),
                Output::Tell(_) => said = true,
                _ => {}
            }
        }
    }

    /// The rules may break half-way.
    fn act(&mut self, act: Act) {
        if broke(|| self.attempt(act)) {
            self.restart();
        }
    }

    fn attempt(&mut self, act: Act) {
        match act {
            Act::Pass(milliseconds) => {
                self.engined.now += Duration::from_millis(milliseconds);
                self.input(Input::Timer);
            }
            Act::Open(succeeds) if std::mem::take(&mut self.opening) => {
                self.open = succeeds;
                self.input(if succeeds { opened() } else { not_opened() });
            }
            Act::Lose if self.open => self.input(Input::Lost { why: None }),
            Act::Answer(chance) if !self.engined.sent.is_empty() => self.answer(chance),
            Act::Refuse if !self.engined.sent.is_empty() => {
                self.engined.sent.remove(0);
                let why = "as the test wants it".into();
                self.input(Input::Refused { why });
            }
            Act::Join(key) if !self.shut_down && !self.joined.contains_key(&Key(key)) => {
                self.numbers += 1;
                self.joined.insert(Key(key), self.numbers);
                let candidature = candidature(&format!("e{key}"), self.numbers);
                let key = Key(key);
                self.input(Input::Join { key, candidature });
            }
            Act::Leave(key) => {
                let key = Key(key);
                let candidacy = self.joined.get(&key).copied().unwrap_or(0);
                self.input(Input::Leave { key, candidacy });
            }
            Act::GiveUp(key) => {
                let key = Key(key);
                let candidacy = self.joined.get(&key).copied().unwrap_or(0);
                self.resigning.push((key, candidacy));
                self.input(Input::GiveUp { key, candidacy });
            }
            Act::Stop(key, stop) => {
                let key = Key(key);
                if let Some(term) = self.running.remove(&key) {
                    if stop == Stop::Returned {
                        self.input(Input::EndedByItself { key, term });
                    }
                    self.input(Input::Stopped { key, term, stop });
                }
            }
            Act::Hint(key) => {
                let election = format!("e{key}").into();
                let notification = Notification { pid: 1, election };
                self.input(Input::Notified(vec![notification]));
            }
            Act::Restart => self.restart(),
            Act::Break(steps) => self.engined.engine.break_in(steps),
            Act::Shutdown => {
                self.shut_down = true;
                self.input(Input::Shutdown);
            }
            _ => {}
        }
    }

    fn answer(&mut self, chance: u8) {
        let begins = chance.is_multiple_of(2);
        let answer = match &self.engined.sent[0] {
            Request::Campaign(bids) if begins => {
                let mut tries = vec![];
                for bid in &bids.of {
                    self.last_term += 1;
                    tries.push(tried(bid.election, began(self.last_term)));
                }
                Some(Answer::Campaigned(tries))
            }
            Request::Join(all) => {
                // No more are reached.
                let join = &all.of[0];
                let number = join.name[1..].parse().expect("a number");
                let (name, election) = (join.name.clone(), id(Key(number)));
                let heard = Heard::default();
                let joined = Joined { election, heard };
                Some(Answer::Joined(vec![(name, Ok(joined))]))
            }
            Request::EndFenced(_) => None,
            _ => None,
        };
        match answer {
            Some(answer) => self.engined.answer(answer),
            None => self.engined.answer_oldest(),
        }
        self.look();
    }

    /// Once nothing stands in the way everything that was asked for is done.
    fn settle(&mut self) {
        self.engined.engine.breaks_in = None;
        for _ in 0..400 {
            for (key, term) in std::mem::take(&mut self.running) {
                let stop = Stop::Dropped;
                self.input(Input::Stopped { key, term, stop });
            }
            self.act(Act::Open(true));
            while !self.engined.sent.is_empty() {
                self.answer(1);
            }
            self.act(Act::Pass(100));
        }
        assert_eq!(self.resigning, [], "somebody waits in vain");
        assert!(!self.shut_down || self.joined.is_empty(), "it does not end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_of_inputs(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        world.settle();
    }
}
