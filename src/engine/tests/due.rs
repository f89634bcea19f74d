//! What waits is due when it is acted on, and no sooner.

use super::*;

/// A chance run of the properties has found it waiting for the other, until its time was over: it was woken at once then,
/// though nothing had come.
#[test]
fn a_candidacy_that_is_taken_back_does_not_wait_while_another_one_is_tried_for() {
    let other = Key(2);
    let mut bench = Bench::leader();
    let pass = |bench: &mut Bench, tenths: u32| {
        for _ in 0..tenths {
            bench.pass(LEASE / 10);
            bench.stay_well();
        }
    };
    // Not to be tried for again when the answer comes.
    pass(&mut bench, 20);
    bench.event(Event::Leave { key: KEY });
    // All but the last bit of the grace.
    pass(&mut bench, 99);
    bench.event(Event::Join {
        key: other,
        autopsy: true,
        graceful: true,
    });
    bench.answer(|query| matches!(query, Query::Join { .. }), joined(other));
    assert!(bench.has_asked(|query| matches!(query, Query::Campaign { .. })));
    let (term, stop) = (7, Stop::Returned);
    bench.event(Event::WorkStopped {
        key: KEY,
        term,
        stop,
    });
    assert!(bench.has_asked(|query| *query == Query::Leave { keys: vec![KEY] }));
    bench.pass(LEASE * 8 / 10);
    assert!(bench.has_done(|action| *action == Action::Left { key: KEY }));
    assert!(bench.process.deadline() > bench.now, "woken at once");
}

/// However long nothing is due: a suspended machine's timers stand still.
#[test]
fn the_clock_is_looked_at_often_while_work_runs() {
    let mut bench = Bench::leader();
    assert_eq!(bench.process.look_every(), LEASE / 20);
    // Also while it should have stopped.
    bench.event(Event::Disconnected);
    assert_eq!(bench.process.look_every(), LEASE / 20);
    let (term, stop) = (7, Stop::Dropped);
    bench.event(Event::WorkStopped {
        key: KEY,
        term,
        stop,
    });
    assert_eq!(bench.process.look_every(), Duration::from_secs(1));
}

/// Whoever is woken when it is time, and once more a moment before, does what is due then and once.
#[test]
fn nothing_is_due_before_its_time_nor_twice() {
    let mut bench = Bench::leader();
    for _ in 0..20 {
        let due = bench.process.deadline();
        let before = bench.asked.len() + bench.done.len();
        bench.now = Instant::from_nanos(due.as_nanos() - 1);
        bench.event(Event::Timer);
        assert_eq!(bench.process.deadline(), due, "too soon");
        assert_eq!(bench.asked.len() + bench.done.len(), before, "too soon");
        bench.now = due;
        bench.event(Event::Timer);
        assert!(bench.process.deadline() > due, "it is due still");
        bench.stay_well();
    }
}
