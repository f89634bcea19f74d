//! What is remembered of hosts that accept writes beside one's own.

use std::collections::BTreeSet;

use super::super::rivals::Rivals;
use super::super::sight::{Missed, Sight, Survey};
use super::sight::{nameless, sight};
use super::{Duration, Instant, Timings};

const LEASE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(5);

struct Bench {
    now: Instant,
    timings: Timings,
    rivals: Rivals,
}

impl Bench {
    fn on(own: Sight) -> Bench {
        let timings = Timings::new(LEASE, RETRY, LEASE).unwrap();
        let (now, mut rivals) = (Instant::from_nanos(1), Rivals::default());
        rivals.arrived(now, &timings, own, &Survey::default());
        Bench {
            now,
            timings,
            rivals,
        }
    }

    fn note(&mut self, survey: &Survey) {
        let leads = BTreeSet::new();
        self.rivals.note(self.now, &self.timings, survey, &leads);
    }

    fn holds(&self) -> [bool; 2] {
        let contested = self.rivals.is_contested(self.now);
        [contested, self.rivals.is_held(self.now, "e")]
    }
}

fn sees(sights: &[Sight]) -> Survey {
    Survey {
        sights: sights.to_vec(),
        ..Survey::default()
    }
}

fn unknown(sight: Sight) -> Sight {
    Sight {
        held: None,
        ..sight
    }
}

fn silence(name: &str) -> Survey {
    Survey {
        missed: vec![Missed {
            name: name.to_owned(),
            refuses: false,
        }],
        ..Survey::default()
    }
}

fn refusal(name: &str) -> Survey {
    let mut survey = silence(name);
    survey.missed[0].refuses = true;
    survey
}

#[test]
fn what_cannot_be_found_out_counts_as_held_for_a_while() {
    let mut bench = Bench::on(sight("a", 1, 2, false));
    bench.note(&sees(&[sight("b", 2, 1, false)]));
    assert_eq!(bench.holds(), [true, false]);
    for round in [sees(&[unknown(sight("b", 2, 1, false))]), silence("b")] {
        bench.note(&sees(&[sight("b", 2, 1, false)]));
        bench.note(&round);
        assert_eq!(bench.holds(), [true, true], "{round:?}");
    }
    // It is not asked for ever, and its coming back does not begin it again.
    bench.now += RETRY;
    bench.note(&silence("b"));
    assert_eq!(bench.holds(), [false, false]);
    bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
    assert_eq!(bench.holds(), [true, false]);
    bench.note(&sees(&[sight("b", 2, 1, true)]));
    assert_eq!(bench.holds(), [true, true]);
    bench.note(&sees(&[sight("b", 2, 1, false)]));
    assert_eq!(bench.holds(), [true, false]);
}

#[test]
fn the_first_sight_may_be_of_one_that_cannot_be_asked() {
    let mut bench = Bench::on(sight("a", 1, 2, false));
    for _ in 0..5 {
        bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
        assert_eq!(bench.holds(), [true, true]);
        bench.now += LEASE;
    }
    bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
    assert_eq!(bench.holds(), [true, false]);
}

#[test]
fn of_one_that_refuses_all_is_over_within_a_lease() {
    let mut bench = Bench::on(sight("a", 1, 2, false));
    for round in [
        refusal("b"),
        // It was started anew.
        sees(&[unknown(sight("b", 9, 1, false))]),
    ] {
        bench.note(&sees(&[sight("b", 2, 1, true)]));
        bench.note(&round);
        bench.now += LEASE / 2;
        bench.note(&refusal("b"));
        assert_eq!(bench.holds(), [true, true]);
        bench.now += LEASE;
        assert_eq!(bench.holds(), [false, false]);
    }
}

#[test]
fn a_standby_holds_up_nobody() {
    let mut bench = Bench::on(sight("a", 1, 2, false));
    bench.note(&sees(&[sight("b", 2, 1, true)]));
    let standby = Sight {
        standby: true,
        ..sight("b", 2, 1, true)
    };
    bench.note(&sees(&[standby]));
    assert_eq!(bench.holds(), [false, false]);
}

/// It leaves the lower, and cannot get to the higher.
#[test]
fn a_silent_rival_outlives_the_session() {
    let (low, high) = (sight("low", 1, 1, true), sight("high", 2, 2, false));
    let mut bench = Bench::on(low.clone());
    bench.note(&sees(&[low.clone(), high.clone()]));
    assert_eq!(bench.rivals.better(), Some(&high));
    bench.rivals.want("high".to_owned());
    assert_eq!(bench.rivals.wanted().as_deref(), Some("high"));
    let back = Survey {
        sights: vec![low.clone()],
        ..silence("high")
    };
    let (now, timings) = (bench.now, bench.timings.clone());
    bench.rivals.arrived(now, &timings, low.clone(), &back);
    assert_eq!(bench.holds(), [true, true]);
    assert_eq!(bench.rivals.wanted(), None);
    bench.now += RETRY;
    bench.note(&back);
    assert_eq!(bench.holds(), [false, false]);
}

/// Where several accept writes, the server of a session that was lost is one of them.
#[test]
fn the_server_that_was_lost_is_a_rival() {
    let (low, high) = (sight("low", 1, 1, false), sight("high", 2, 2, true));
    for contested in [false, true] {
        let mut bench = Bench::on(high.clone());
        if contested {
            bench.note(&sees(&[low.clone(), high.clone()]));
        }
        let (now, timings) = (bench.now, bench.timings.clone());
        let round = sees(std::slice::from_ref(&low));
        bench.rivals.arrived(now, &timings, low.clone(), &round);
        assert_eq!(bench.holds(), [contested, contested]);
    }
}

/// The sight of its own server is older than its term.
#[test]
fn who_leads_does_not_leave_for_a_leader_on_the_same_timeline() {
    let (own, other) = (sight("own", 1, 1, false), sight("other", 2, 1, true));
    let mut bench = Bench::on(own);
    let leads = BTreeSet::from(["e".to_owned()]);
    let round = sees(std::slice::from_ref(&other));
    bench.rivals.note(bench.now, &bench.timings, &round, &leads);
    assert_eq!(bench.rivals.better(), None);
    let mut bench = Bench::on(sight("own", 1, 1, false));
    bench.note(&round);
    assert_eq!(bench.rivals.better(), Some(&other));
}

#[test]
fn of_a_cluster_without_a_name_nobody_is_a_rival() {
    let mut bench = Bench::on(nameless(sight("a", 1, 1, false)));
    bench.note(&sees(&[nameless(sight("b", 2, 2, true))]));
    assert_eq!(bench.holds(), [false, false]);
    assert_eq!(bench.rivals.better(), None);
}
