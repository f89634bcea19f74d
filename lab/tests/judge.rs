//! The judge is fed forged histories, one with each violation: it must name that, and nothing else.

use std::fs;

use pg_leader_lab::chaos::judge::history::{
    DATABASE, Database, Entry, FAULTS, Kind, Mark, PROCESSES, Process, RECORD, RUN, Run, Term,
    Work, Write,
};
use pg_leader_lab::chaos::judge::{History, Report, judge};

/// A millisecond.
const MS: u64 = 1_000_000;

/// The server's clock less the shared one.
const OFFSET: i64 = 1_700_000_000_000_000_000;

const BILLING: &str = "billing";

fn at_server(at: u64) -> i64 {
    i64::try_from(at).unwrap() + OFFSET
}

fn started() -> Entry {
    Entry::Started {
        at: 0,
        work: Work::Plain,
    }
}

fn joined(at: u64) -> Entry {
    Entry::Joined {
        at: at * MS,
        election: BILLING.to_owned(),
    }
}

fn began(at: u64, term: i64) -> Entry {
    Entry::Began {
        at: at * MS,
        election: BILLING.to_owned(),
        term,
    }
}

fn step(from: u64, to: u64, term: i64) -> Entry {
    Entry::Step {
        from: from * MS,
        to: to * MS,
        election: BILLING.to_owned(),
        term,
    }
}

fn stopped(at: u64, term: i64) -> Entry {
    Entry::Stopped {
        at: at * MS,
        election: BILLING.to_owned(),
        term,
    }
}

fn current(at: u64, term: i64, yes: bool) -> Entry {
    Entry::Current {
        from: at * MS,
        to: at * MS + 1000,
        election: BILLING.to_owned(),
        term,
        yes,
    }
}

fn leading(at: u64) -> Entry {
    Entry::Leading {
        from: at * MS,
        to: at * MS + 1000,
        election: BILLING.to_owned(),
    }
}

fn wrote(at: u64, term: i64, sequence: i64) -> Entry {
    Entry::Wrote {
        at: at * MS,
        election: BILLING.to_owned(),
        term,
        sequence,
    }
}

fn refused(at: u64, term: i64) -> Entry {
    Entry::Refused {
        at: at * MS,
        election: BILLING.to_owned(),
        term,
    }
}

fn fences(at: u64, term: i64) -> Entry {
    Entry::Fences {
        at: at * MS,
        election: BILLING.to_owned(),
        term,
    }
}

fn standing(at: u64, leader: &str, successor: &str) -> Mark {
    Mark::Standing {
        at: at * MS,
        election: BILLING.to_owned(),
        leader: Some(leader.to_owned()),
        successor: Some(successor.to_owned()),
    }
}

fn begin(at: u64, id: u64, kind: Kind, process: Option<&str>) -> Mark {
    Mark::Begin {
        at: at * MS,
        id,
        kind,
        process: process.map(str::to_owned),
        election: None,
    }
}

fn begin_in_election(at: u64, id: u64, kind: Kind, process: Option<&str>, election: &str) -> Mark {
    Mark::Begin {
        at: at * MS,
        id,
        kind,
        process: process.map(str::to_owned),
        election: Some(election.to_owned()),
    }
}

fn end(at: u64, id: u64) -> Mark {
    Mark::End { at: at * MS, id }
}

fn gone(at: u64, process: &str) -> Mark {
    Mark::Gone {
        at: at * MS,
        process: process.to_owned(),
        status: "signal: 9 (SIGKILL)".to_owned(),
    }
}

fn term(number: i64, process: &str, started: u64, vacated: Option<u64>) -> Term {
    Term {
        election: BILLING.to_owned(),
        number,
        process: process.to_owned(),
        started: at_server(started * MS),
        vacated: vacated.map(|at| at_server(at * MS)),
        ending: None,
        direct: true,
    }
}

fn row(sequence: i64, term: i64, transaction: u64, snapshot: &str) -> Write {
    Write {
        sequence,
        election: BILLING.to_owned(),
        term,
        transaction,
        snapshot: snapshot.to_owned(),
    }
}

fn entries_of_first() -> Vec<Entry> {
    vec![
        started(),
        joined(1),
        began(10, 1),
        step(10, 11, 1),
        current(12, 1, true),
        leading(12),
        wrote(50, 1, 1),
        step(99, 100, 1),
        stopped(101, 1),
        current(102, 1, false),
        refused(110, 1),
        began(1206, 3),
        step(1206, 1207, 3),
        wrote(1250, 3, 3),
        step(2999, 3000, 3),
        current(3000, 3, true),
        stopped(3001, 3),
        Entry::Ended { at: 3002 * MS },
    ]
}

fn entries_of_second() -> Vec<Entry> {
    vec![
        started(),
        joined(2),
        began(105, 2),
        step(105, 106, 2),
        wrote(150, 2, 2),
        leading(160),
        step(199, 200, 2),
    ]
}

/// `1-1` leads and steps down, `2-1` follows and is killed, `1-1` follows, a millisecond more than a lease later.
fn clean() -> History {
    History {
        run: Run {
            seed: 0,
            seconds: 3,
            lease_ms: 1000,
            retry_interval_ms: 1000,
            elections: vec![BILLING.to_owned()],
            pace_ms: 0,
            description: String::new(),
            began: 10 * MS,
            ended: 3000 * MS,
        },
        processes: vec![
            Process {
                name: "1-1".to_owned(),
                entries: entries_of_first(),
                refusals: vec![],
            },
            Process {
                name: "2-1".to_owned(),
                entries: entries_of_second(),
                refusals: vec![],
            },
        ],
        faults: vec![
            Mark::Clock {
                at: 0,
                offset: OFFSET,
            },
            begin_in_election(98, 1, Kind::StepDown, Some("1-1"), BILLING),
            end(99, 1),
            begin(204, 2, Kind::KilledProcess, Some("2-1")),
            gone(205, "2-1"),
            standing(10, "1-1", "2-1"),
            standing(110, "2-1", "1-1"),
            Mark::Clock {
                at: 3000 * MS,
                offset: OFFSET + 1000,
            },
        ],
        database: Database {
            terms: vec![
                term(1, "1-1", 9, Some(102)),
                term(2, "2-1", 104, None),
                term(3, "1-1", 1205, Some(3001)),
            ],
            writes: vec![
                row(1, 1, 700, "700:700:"),
                row(2, 2, 705, "705:705:"),
                row(3, 3, 710, "709:712:709,711"),
            ],
            candidates: vec![(BILLING.to_owned(), "1-1".to_owned())],
        },
    }
}

/// The first process's log.
fn first(history: &mut History) -> &mut Vec<Entry> {
    &mut history.processes[0].entries
}

/// The second process's log.
fn second(history: &mut History) -> &mut Vec<Entry> {
    &mut history.processes[1].entries
}

fn replace(entries: &mut [Entry], old: &Entry, new: Entry) {
    let place = entries
        .iter()
        .position(|entry| entry == old)
        .expect("it is there");
    entries[place] = new;
}

/// What is violated, and in which words.
#[track_caller]
fn assert_violated(history: &History, invariants: &[u8], words: &str) {
    let verdicts = judge(history);
    let violated: Vec<u8> = verdicts
        .iter()
        .filter(|verdict| !verdict.held())
        .map(|verdict| verdict.invariant)
        .collect();
    assert_eq!(violated, invariants, "{verdicts:#?}");
    let said: Vec<String> = verdicts
        .into_iter()
        .flat_map(|verdict| verdict.violations.into_iter().chain(verdict.lacking))
        .collect();
    assert!(
        said.iter().any(|said| said.contains(words)),
        "nobody says {words:?}: {said:#?}"
    );
}

#[track_caller]
fn assert_held(history: &History) {
    let verdicts = judge(history);
    assert!(
        verdicts.iter().all(|verdict| verdict.held()),
        "{verdicts:#?}"
    );
}

#[test]
fn a_clean_history_passes() {
    assert_held(&clean());
}

#[test]
fn every_invariant_that_can_be_seen_is_judged() {
    let judged: Vec<u8> = judge(&clean())
        .iter()
        .map(|verdict| verdict.invariant)
        .collect();
    assert_eq!(judged, [0, 1, 2, 3, 4, 5, 6, 8]);
}

// 1: at most one process runs an election's work.

#[test]
fn a_woken_process_that_works_in_its_old_term() {
    let mut history = clean();
    second(&mut history).push(step(1300, 1301, 2));
    history.faults[4] = gone(1400, "2-1");
    assert_violated(
        &history,
        &[1],
        "2-1 in term 2 (plain) and 1-1 in term 3 (plain) were at work at once",
    );
}

#[test]
fn a_term_that_begins_before_the_last_work_has_ended() {
    let mut history = clean();
    replace(second(&mut history), &began(105, 2), began(99, 2));
    assert_violated(&history, &[1], "for 1.000 ms");
}

#[test]
fn one_term_at_work_within_another() {
    let mut history = clean();
    second(&mut history).extend([step(1250, 1251, 2)]);
    history.faults[4] = gone(1400, "2-1");
    assert_violated(&history, &[1], "at work at once");
}

#[test]
fn one_after_the_other_at_the_same_instant_is_no_overlap() {
    let mut history = clean();
    replace(first(&mut history), &stopped(101, 1), stopped(100, 1));
    replace(second(&mut history), &began(105, 2), began(100, 2));
    history.database.terms[1].started = at_server(100 * MS);
    assert_held(&history);
}

/// `2-1` is stopped in the middle of a step, and wakes in the next term.
fn stopped_within_a_step() -> History {
    let mut history = clean();
    replace(second(&mut history), &step(199, 200, 2), step(199, 2500, 2));
    history.faults[3] = begin(200, 2, Kind::StoppedProcess, Some("2-1"));
    history.faults[4] = end(2498, 2);
    history
        .database
        .candidates
        .push((BILLING.to_owned(), "2-1".to_owned()));
    history
}

#[test]
fn a_step_that_was_under_way_is_counted_and_told() {
    let history = stopped_within_a_step();
    assert_held(&history);
    let overlap = &judge(&history)[1];
    assert!(
        overlap.evidence.contains(
            "1 steps were under way when their process was stopped, and 1 of these ended in another's term, at most 2.00 ms"
        ),
        "{overlap:?}"
    );
}

#[test]
fn a_step_that_begins_when_its_process_has_woken() {
    let mut history = stopped_within_a_step();
    second(&mut history).push(step(2501, 2502, 2));
    assert_violated(&history, &[1], "at work at once");
    let mut history = stopped_within_a_step();
    replace(
        second(&mut history),
        &step(199, 2500, 2),
        step(2499, 2500, 2),
    );
    assert_violated(&history, &[1], "at work at once");
}

#[test]
fn a_long_step_of_a_process_that_nobody_has_stopped() {
    let mut history = clean();
    replace(second(&mut history), &step(199, 200, 2), step(199, 2500, 2));
    history.faults[4] = gone(2600, "2-1");
    assert_violated(&history, &[1], "for 1294.000 ms");
    // Its driver alone stood still, or another process.
    for (kind, process) in [(Kind::StoppedDriver, "2-1"), (Kind::StoppedProcess, "1-1")] {
        let mut history = stopped_within_a_step();
        history.faults[3] = begin(200, 2, kind, Some(process));
        assert_violated(&history, &[1], "for 1294.000 ms");
    }
}

#[test]
fn threads_that_write_out_of_the_order_of_time_are_put_in_order() {
    let mut history = clean();
    for process in &mut history.processes {
        process
            .entries
            .sort_by_key(|entry| matches!(entry, Entry::Began { .. }));
    }
    assert_held(&history);
}

// 2: terms strictly increase.

#[test]
fn a_term_that_falls() {
    let mut history = clean();
    for entry in first(&mut history) {
        match entry {
            Entry::Began { term, .. } | Entry::Step { term, .. } if *term == 1 => *term = 9,
            _ => {}
        }
    }
    history.database.terms.remove(0);
    history.database.writes.remove(0);
    first(&mut history)
        .retain(|entry| !matches!(entry, Entry::Wrote { .. } | Entry::Current { .. }));
    assert_violated(
        &history,
        &[2],
        "2-1 began term 2 after 1-1 had begun term 9",
    );
}

#[test]
fn one_term_given_to_two() {
    let mut history = clean();
    for entry in second(&mut history) {
        match entry {
            Entry::Began { term, .. } | Entry::Step { term, .. } => *term = 1,
            _ => {}
        }
    }
    assert_violated(&history, &[2], "1-1 and 2-1 both worked in term 1");
}

#[test]
fn terms_out_of_order_in_the_database() {
    let mut history = clean();
    history.database.terms[1].started = at_server(5 * MS);
    assert_violated(
        &history,
        &[2],
        "in the database term 2 began no later than term 1",
    );
}

// 3: a fenced transaction commits in time or never.

#[test]
fn a_transaction_still_running_when_a_later_term_writes() {
    let mut history = clean();
    history.database.writes[1].snapshot = "700:705:700".to_owned();
    assert_violated(
        &history,
        &[3],
        "row 1 of term 1 was committed after term 2 had begun",
    );
}

#[test]
fn a_transaction_that_begins_when_a_later_term_has_written() {
    let mut history = clean();
    history.database.writes.push(row(4, 2, 900, "900:900:"));
    assert_violated(
        &history,
        &[3],
        "row 4 of term 2 was committed after term 3 had begun",
    );
}

#[test]
fn a_transaction_of_a_term_long_past() {
    let mut history = clean();
    history.database.writes.push(row(4, 1, 708, "708:708:"));
    assert_violated(
        &history,
        &[3],
        "row 4 of term 1 was committed after term 2 had begun",
    );
}

// 4: no release before the work has stopped.

#[test]
fn a_vacate_before_the_work_has_stopped() {
    let mut history = clean();
    history.database.terms[0].vacated = Some(at_server(90 * MS));
    assert_violated(
        &history,
        &[4],
        "term 1 was vacated 11.000 ms before its work at 1-1 had stopped",
    );
}

#[test]
fn a_vacate_of_work_that_never_stopped() {
    let mut history = clean();
    history.database.terms[1].vacated = Some(at_server(300 * MS));
    assert_violated(&history, &[4], "its work at 2-1 has never stopped");
}

#[test]
fn clocks_that_nobody_has_compared() {
    let mut history = clean();
    history
        .faults
        .retain(|mark| !matches!(mark, Mark::Clock { .. }));
    assert_violated(&history, &[4], "no comparison of the server's clock");
}

#[test]
fn a_clock_that_was_set_proves_nothing() {
    let hour = 3_600_000_000_000;
    let mut history = clean();
    history.faults.pop();
    for at in [1000, 3000] {
        history.faults.push(Mark::Clock {
            at: at * MS,
            offset: OFFSET + hour,
        });
    }
    for term in &mut history.database.terms[1..] {
        term.started += hour;
        term.vacated = term.vacated.map(|at| at + hour);
    }
    history.database.terms[0].vacated = Some(at_server(90 * MS));
    assert_held(&history);
    let release = &judge(&history)[4];
    assert!(
        release
            .evidence
            .contains("1 terms vacated after work; 1 more while the server's clock was set"),
        "{release:?}"
    );
}

#[test]
fn a_clock_that_is_slewed_is_followed() {
    let mut history = clean();
    history.faults.pop();
    for second in 1..=4 {
        history.faults.push(Mark::Clock {
            at: second * 1000 * MS,
            offset: OFFSET + second as i64 * MS as i64,
        });
    }
    history.database.terms[2].vacated = Some(at_server(3001 * MS) + 3 * MS as i64);
    assert_held(&history);
    history.database.terms[2].vacated = Some(at_server(2990 * MS) + 3 * MS as i64);
    assert_violated(&history, &[4], "term 3 was vacated");
}

// 5: what state() and is_current() say is true.

#[test]
fn a_term_taken_for_current_after_a_later_one_has_begun() {
    let mut history = clean();
    second(&mut history).push(current(1210, 2, true));
    history.faults[4] = gone(1400, "2-1");
    assert_violated(&history, &[5], "2-1 took term 2 for current");
}

#[test]
fn a_term_that_is_current_again() {
    let mut history = clean();
    first(&mut history).push(current(103, 1, true));
    assert_violated(&history, &[5], "term 1 was current again");
}

#[test]
fn a_process_that_says_it_leads_while_another_works() {
    let mut history = clean();
    first(&mut history).push(leading(150));
    assert_violated(
        &history,
        &[5],
        "1-1 said that it leads at 150000000, while 2-1 worked in term 2",
    );
}

#[test]
fn an_answer_that_was_given_before_the_next_term_is_true() {
    let mut history = clean();
    let (from, to, election) = (104 * MS, 108 * MS, BILLING.to_owned());
    first(&mut history).insert(9, Entry::Leading { from, to, election });
    assert_held(&history);
}

// 6: somebody leads within bounds.

/// `1-1` begins its second term only after `at` milliseconds, and works for a moment.
fn late(at: u64) -> History {
    let mut history = clean();
    first(&mut history).retain(|entry| {
        !matches!(
            entry,
            Entry::Step { term: 3, .. }
                | Entry::Began { term: 3, .. }
                | Entry::Stopped { term: 3, .. }
                | Entry::Current { term: 3, .. }
                | Entry::Ended { .. }
        )
    });
    first(&mut history).extend([
        began(at, 3),
        step(at, at + 100, 3),
        stopped(at + 101, 3),
        Entry::Ended {
            at: (at + 102) * MS,
        },
    ]);
    history.database.terms[2] = term(3, "1-1", at - 1, Some(at + 101));
    history.run.ended = (at + 100) * MS;
    history
}

#[test]
fn nobody_leads_and_nothing_hinders() {
    let history = late(30_000);
    assert_violated(
        &history,
        &[6],
        "nobody led for 29.80 s after 200000000 (term 2 had ended by kill -9), 1.60 s were allowed",
    );
}

#[test]
fn nobody_leads_while_the_server_is_away() {
    let mut history = late(30_000);
    history
        .faults
        .extend([begin(205, 3, Kind::ServerCrash, None), end(29_000, 3)]);
    assert_held(&history);
    history.faults.pop();
    history.faults.push(end(10_000, 3));
    assert_violated(&history, &[6], "nobody led for 29.80 s");
}

#[test]
fn nobody_leads_while_the_only_candidate_is_stopped() {
    let mut history = late(30_000);
    history.faults.extend([
        begin(206, 3, Kind::StoppedProcess, Some("1-1")),
        end(29_000, 3),
    ]);
    assert_held(&history);
}

#[test]
fn a_fault_of_somebody_else_is_no_excuse() {
    let mut history = late(30_000);
    history.faults.extend([
        begin(206, 3, Kind::StoppedProcess, Some("3-1")),
        end(29_000, 3),
    ]);
    assert_violated(&history, &[6], "1.60 s were allowed");
}

#[test]
fn nobody_leads_while_the_election_is_suspended() {
    let mut history = late(30_000);
    history.faults.extend([
        begin_in_election(205, 3, Kind::Suspend, None, BILLING),
        end(29_000, 3),
    ]);
    assert_held(&history);
    history.faults.pop();
    history.faults.push(end(10_000, 3));
    assert_violated(&history, &[6], "nobody led for 29.80 s");
}

#[test]
fn another_election_that_is_suspended_is_no_excuse() {
    let mut history = late(30_000);
    history.faults.extend([
        begin_in_election(205, 3, Kind::Suspend, None, "reports"),
        end(29_000, 3),
    ]);
    assert_violated(&history, &[6], "1.60 s were allowed");
}

#[test]
fn nobody_leads_while_the_only_candidate_is_excluded() {
    let mut history = late(30_000);
    history.faults.extend([
        begin_in_election(206, 3, Kind::Exclude, Some("1-1"), BILLING),
        end(29_000, 3),
    ]);
    assert_held(&history);
    let exclude = history.faults.len() - 2;
    history.faults[exclude] = begin_in_election(206, 3, Kind::Exclude, Some("1-1"), "reports");
    assert_violated(&history, &[6], "1.60 s were allowed");
}

/// A new session covers up for it.
#[test]
fn a_wrong_call_is_a_violation_although_nobody_has_suffered() {
    let said = |code: &str| {
        let mut history = clean();
        let line = format!(
            "WARN pg_leader: the session is given up: the session failed: no (SQLSTATE {code})"
        );
        history.processes[1].refusals.push(line);
        history
    };
    for code in ["57P01", "57P03", "25006", "08006"] {
        assert_held(&said(code));
    }
    for code in ["21000", "42883", "XX000"] {
        assert_violated(&said(code), &[0], "2-1 made a wrong call");
    }
}

#[test]
fn nobody_leads_while_the_target_of_a_transfer_is_stopped() {
    let mut history = late(18_000);
    history.processes.push(Process {
        name: "3-1".to_owned(),
        entries: vec![started(), joined(3)],
        refusals: vec![],
    });
    let billing = (BILLING.to_owned(), "3-1".to_owned());
    history.database.candidates.push(billing);
    history.faults.extend([
        begin_in_election(199, 3, Kind::Transfer, Some("3-1"), BILLING),
        end(200, 3),
        begin(203, 4, Kind::StoppedProcess, Some("3-1")),
        end(17_000, 4),
    ]);
    assert_held(&history);
    // The target is fit, and does not come.
    history.faults.truncate(history.faults.len() - 2);
    assert_violated(&history, &[6], "nobody led for 17.80 s");
}

#[test]
fn a_log_that_nobody_reads_is_no_excuse() {
    for kind in [Kind::FullStderr, Kind::ClosedStderr] {
        let mut history = late(30_000);
        history
            .faults
            .extend([begin(206, 3, kind, Some("1-1")), end(29_000, 3)]);
        assert_violated(&history, &[6], "1.60 s were allowed");
    }
}

#[test]
fn nobody_leads_until_the_end() {
    let mut history = clean();
    history.run.ended = 60_000 * MS;
    assert_violated(&history, &[6], "nobody led for 57.00 s");
}

/// `1-1` and `2-1` lead in turn, each for so long; each term ends by a fault, and then nobody leads for so long. By a step
/// down, and for 10 ms, where nothing else is said. `3-1` takes part and never leads.
fn terms(count: usize, lasts: u64, ends: &[(Kind, u64)]) -> History {
    let names = ["1-1", "2-1"];
    let mut entries = [vec![started(), joined(0)], vec![started(), joined(0)]];
    let mut history = clean();
    history.faults.truncate(1);
    history.database.terms.clear();
    history.database.writes.clear();
    let mut at = 10;
    for number in 0..=count {
        let (leads, follows) = (number % 2, (number + 1) % 2);
        let (kind, gap) = ends.get(number).copied().unwrap_or((Kind::StepDown, 10));
        let (id, of) = (number as u64 + 1, number as i64 + 1);
        let until = at + lasts;
        entries[leads].extend([
            began(at, of),
            step(at, at + 1, of),
            leading(at + 1),
            step(until - 1, until, of),
            stopped(until, of),
            wrote(at + 2, of, of),
            refused(until + 2, of),
        ]);
        history
            .faults
            .push(standing(at + 50, names[leads], names[follows]));
        if number < count {
            let mark = begin(until - 2, id, kind, Some(names[leads]));
            history.faults.extend([mark, end(until + gap + 500, id)]);
        }
        let vacated = (number < count).then_some(until);
        history
            .database
            .terms
            .push(term(of, names[leads], at - 1, vacated));
        let transaction = 700 + id;
        let snapshot = format!("{transaction}:{transaction}:");
        history
            .database
            .writes
            .push(row(of, of, transaction, &snapshot));
        at = until + gap;
        history.run.ended = until * MS;
    }
    history.faults.push(Mark::Clock {
        at: at * MS,
        offset: OFFSET,
    });
    history.processes.clear();
    let third = vec![started(), joined(0)];
    for (name, entries) in names
        .into_iter()
        .chain(["3-1"])
        .zip(entries.into_iter().chain([third]))
    {
        history.processes.push(Process {
            name: name.to_owned(),
            entries,
            refusals: vec![],
        });
    }
    history.database.candidates = ["1-1", "2-1", "3-1"]
        .map(|name| (BILLING.to_owned(), name.to_owned()))
        .to_vec();
    history.run.seconds = 0;
    history
}

#[test]
fn each_gap_has_the_bound_of_what_has_ended_its_term() {
    for (kind, allowed) in [
        (Kind::StepDown, 725),
        (Kind::Resign, 725),
        (Kind::Shutdown, 725),
        (Kind::KilledSession, 1600),
        (Kind::KilledProcess, 1600),
        (Kind::DriverPanic, 1600),
        (Kind::StoppedProcess, 1800),
        (Kind::CutBoth, 1800),
        (Kind::StoppedDriver, 1800),
    ] {
        assert_held(&terms(2, 3000, &[(kind, allowed)]));
        let words = format!(
            "had ended by {}), {:.2} s were allowed",
            kind.name(),
            allowed as f64 / 1e3
        );
        assert_violated(&terms(2, 3000, &[(kind, allowed + 1)]), &[6], &words);
    }
}

#[test]
fn a_fault_elsewhere_does_not_lengthen_a_gap() {
    for (kind, process) in [
        (Kind::KilledSession, Some("3-1")),
        (Kind::StoppedProcess, Some("3-1")),
        (Kind::FullStderr, Some("2-1")),
        (Kind::ClosedStderr, Some("1-1")),
    ] {
        let mut history = terms(2, 3000, &[(Kind::StepDown, 900)]);
        history
            .faults
            .extend([begin(3009, 9, kind, process), end(3600, 9)]);
        assert_violated(&history, &[6], "0.72 s were allowed");
    }
}

#[test]
fn a_gap_lasts_longer_when_the_successor_is_lost_too() {
    let lost = |gap: u64, successor: u64| {
        let mut history = terms(2, 3000, &[(Kind::StepDown, gap)]);
        let lost = begin(successor, 9, Kind::KilledSession, Some("2-1"));
        history.faults.extend([lost, end(successor, 9)]);
        history
    };
    assert_held(&lost(4000, 3010));
    assert_violated(&lost(4300, 3010), &[6], "were allowed");
    // Then everybody counts.
    let mut history = lost(5000, 3010);
    history.faults.extend([
        begin(4500, 10, Kind::KilledSession, Some("3-1")),
        end(4500, 10),
    ]);
    assert_held(&history);
    // What comes when the gap must be over excuses nothing.
    assert_violated(&lost(4000, 3900), &[6], "0.72 s were allowed");
}

#[test]
fn nobody_knows_who_was_next_in_line() {
    let mut history = terms(2, 3000, &[(Kind::StepDown, 4000)]);
    history
        .faults
        .retain(|mark| !matches!(mark, Mark::Standing { .. }));
    assert_held(&history);
}

#[test]
fn a_fenced_transaction_that_stays_open_is_waited_for() {
    let mut history = terms(2, 3000, &[(Kind::StepDown, 2000)]);
    assert_violated(&history, &[6], "0.72 s were allowed");
    first(&mut history).extend([fences(2900, 1), wrote(5400, 1, 1)]);
    assert_held(&history);
    // Nor one of an earlier term, nor a short one.
    let fenced = first(&mut history).len() - 2;
    first(&mut history)[fenced] = fences(2900, 0);
    assert_violated(&history, &[6], "0.72 s were allowed");
    first(&mut history)[fenced] = fences(2900, 1);
    first(&mut history).pop();
    first(&mut history).push(wrote(3015, 1, 1));
    assert_violated(&history, &[6], "0.72 s were allowed");
}

#[test]
fn hangs_that_are_not_evicted_are_seen_in_their_median() {
    let hangs = |gap| {
        let hangs = [(Kind::StoppedProcess, gap); 6];
        let mut history = terms(6, 3000, &hangs);
        history.run.seconds = 60;
        history
    };
    assert_held(&hangs(1100));
    assert_violated(
        &hangs(1200),
        &[6],
        "after SIGSTOP, and nothing else, it mostly takes 1.20 leases until somebody leads, 1.17 were allowed",
    );
}

#[test]
fn kills_that_are_waited_for_are_seen_in_their_median() {
    let mut history = terms(6, 3000, &[(Kind::KilledProcess, 1050); 6]);
    assert_violated(
        &history,
        &[6],
        "after kill -9, and nothing else, it mostly takes 1.05 leases",
    );
    // Through a proxy they must be.
    for term in &mut history.database.terms {
        term.direct = false;
    }
    assert_held(&history);
}

// 8: nothing but stop ends a candidacy.

#[test]
fn a_process_that_ends_by_itself() {
    let mut history = clean();
    history.faults.remove(3);
    assert_violated(&history, &[8], "2-1 ended by itself");
}

#[test]
fn a_candidate_that_does_not_come_back() {
    let mut history = clean();
    history.database.candidates.clear();
    assert_violated(&history, &[8], "1-1 lives, and is a candidate no more");
}

#[test]
fn a_process_that_does_not_shut_down() {
    let mut history = clean();
    history.faults[3] = begin(204, 2, Kind::Shutdown, Some("2-1"));
    assert_violated(
        &history,
        &[6, 8],
        "2-1 was told to shut down, and did not end in order",
    );
}

#[test]
fn who_leaves_need_not_come_back() {
    let mut history = clean();
    first(&mut history).retain(|entry| !matches!(entry, Entry::Ended { .. }));
    first(&mut history).push(Entry::Left {
        at: 2999 * MS,
        election: BILLING.to_owned(),
    });
    history.database.candidates.clear();
    assert_held(&history);
}

// The record itself.

#[test]
fn a_committed_row_that_is_not_there() {
    let mut history = clean();
    history.database.writes.remove(1);
    assert_violated(&history, &[0], "was told that row 2 of term 2 is committed");
}

#[test]
fn a_row_that_a_promotion_has_lost() {
    let mut history = clean();
    history.database.writes.remove(1);
    history
        .faults
        .extend([begin(190, 3, Kind::Promotion, None), end(300, 3)]);
    assert_held(&history);
}

#[test]
fn a_row_that_two_promotions_have_lost() {
    let mut history = clean();
    history.database.writes.remove(1);
    history.faults.extend([
        begin(50, 3, Kind::Promotion, None),
        end(60, 3),
        begin(190, 4, Kind::SecondPromotion, None),
        end(300, 4),
    ]);
    assert_held(&history);
}

#[test]
fn a_row_on_a_server_that_was_thrown_away() {
    let mut history = clean();
    history.database.writes.remove(1);
    history.faults.extend([
        begin(140, 3, Kind::DiscardedPromotion, None),
        end(145, 3),
        begin(190, 4, Kind::Discard, None),
        end(300, 4),
    ]);
    assert_held(&history);
}

#[test]
fn a_row_from_before_a_promotion_that_was_thrown_away() {
    let mut history = clean();
    history.database.writes.remove(1);
    history.faults.extend([
        begin(160, 3, Kind::DiscardedPromotion, None),
        end(165, 3),
        begin(190, 4, Kind::Discard, None),
        end(300, 4),
    ]);
    assert_violated(&history, &[0], "was told that row 2 of term 2 is committed");
}

#[test]
fn a_line_of_a_dead_process() {
    let mut history = clean();
    second(&mut history).push(wrote(206, 2, 2));
    assert_violated(&history, &[0], "2-1 wrote Wrote");
}

// A judge without evidence says so.

#[test]
fn no_log_at_all() {
    let mut history = clean();
    history.processes.clear();
    history.database = Database::default();
    history.run.ended = history.run.began;
    assert_violated(
        &history,
        &[0, 1, 2, 3, 4, 5, 6, 8],
        "no process has written anything",
    );
    for verdict in &judge(&history)[1..] {
        assert_eq!(verdict.word(), "NOT JUDGED", "{verdict:?}");
    }
    assert!(!Report::of(&history).held());
}

#[track_caller]
fn assert_not_judged(history: &History, invariant: u8, words: &str) {
    assert_violated(history, &[invariant], words);
    let mut verdicts = judge(history).into_iter();
    let verdict = verdicts.find(|verdict| verdict.invariant == invariant);
    assert_eq!(verdict.unwrap().word(), "NOT JUDGED");
    let text = Report::of(history).to_string();
    assert!(
        text.contains("NOT JUDGED") && text.contains(words),
        "{text}"
    );
}

#[test]
fn no_transaction_that_the_fence_has_refused() {
    let mut history = clean();
    first(&mut history).retain(|entry| !matches!(entry, Entry::Refused { .. }));
    assert_not_judged(&history, 0, "no fenced transaction that was refused");
}

#[test]
fn nobody_has_written_in_more_than_one_term() {
    let mut history = clean();
    history.database.writes.truncate(1);
    for process in &mut history.processes {
        let late = |entry: &Entry| matches!(entry, Entry::Wrote { term, .. } if *term > 1);
        process.entries.retain(|entry| !late(entry));
    }
    assert_not_judged(&history, 3, "billing has fenced rows of 1 terms");
}

#[test]
fn nobody_was_ever_asked_whether_he_leads() {
    let mut history = clean();
    for process in &mut history.processes {
        let said = |entry: &Entry| matches!(entry, Entry::Current { .. } | Entry::Leading { .. });
        process.entries.retain(|entry| !said(entry));
    }
    assert_not_judged(&history, 5, "no process that said it leads");
}

#[test]
fn an_election_in_which_little_happens() {
    let mut history = clean();
    history.run.elections.push("reports".to_owned());
    let verdicts = judge(&history);
    let lacking: Vec<u8> = verdicts
        .iter()
        .filter(|verdict| verdict.word() == "NOT JUDGED")
        .map(|verdict| verdict.invariant)
        .collect();
    assert_eq!(lacking, [1, 3], "{verdicts:#?}");
}

#[test]
fn too_few_terms_a_minute() {
    let history = terms(10, 20_000, &[]);
    assert_not_judged(&history, 6, "11 terms of billing in 3.7 minutes");
    assert_held(&terms(10, 9000, &[]));
}

#[test]
fn too_few_leaders_that_hang() {
    let mut history = terms(10, 3000, &[]);
    history.run.seconds = 600;
    assert_not_judged(&history, 6, "0 leaders that hang, and nothing else");
}

#[test]
fn too_few_gaps_that_have_one_cause_alone() {
    let mut history = terms(10, 3000, &[]);
    history
        .faults
        .retain(|mark| !matches!(mark, Mark::Standing { .. }));
    assert_not_judged(&history, 6, "only 0 of 10 gaps have one cause");
}

// Several elections.

const THREE: [&str; 3] = [BILLING, "reports", "election-3"];

/// What is said of the only election, of another one.
fn renamed(history: &History, name: &str) -> History {
    let json = |text: String| text.replace(&format!("{BILLING:?}"), &format!("{name:?}"));
    let mut history = history.clone();
    for process in &mut history.processes {
        for entry in &mut process.entries {
            let line = entry.line("_").replace(BILLING, name);
            *entry = Entry::parse(&line).unwrap().1;
        }
    }
    for mark in &mut history.faults {
        *mark = serde_json::from_str(&json(serde_json::to_string(mark).unwrap())).unwrap();
    }
    let database = serde_json::to_string(&history.database).unwrap();
    history.database = serde_json::from_str(&json(database)).unwrap();
    history
}

/// The same in three elections at once, but for what is changed in the second. What befalls a process befalls it in all.
fn three(base: &History, change: impl FnOnce(&mut History)) -> History {
    let mut changed = base.clone();
    change(&mut changed);
    let mut all = base.clone();
    all.run.elections = THREE.map(str::to_owned).to_vec();
    for (number, part) in [(1, &changed), (2, base)] {
        let part = renamed(part, THREE[number]);
        for (process, of_part) in all.processes.iter_mut().zip(part.processes) {
            process.entries.extend(of_part.entries);
        }
        let shift = 100 * number as u64;
        all.faults
            .extend(part.faults.into_iter().filter_map(|mark| match mark {
                Mark::Begin { process, .. } if process.as_deref() == Some("2-1") => None,
                Mark::Begin {
                    at,
                    id,
                    kind,
                    process,
                    election,
                } => Some(Mark::Begin {
                    at,
                    id: id + shift,
                    kind,
                    process,
                    election,
                }),
                Mark::End { at, id } => Some(Mark::End { at, id: id + shift }),
                Mark::Standing { .. } => Some(mark),
                _ => None,
            }));
        all.database.terms.extend(part.database.terms);
        all.database.writes.extend(part.database.writes);
        all.database.candidates.extend(part.database.candidates);
    }
    all
}

/// What speaks against an invariant.
fn violations(history: &History) -> Vec<(u8, String)> {
    let verdicts = judge(history).into_iter();
    let violations = verdicts.flat_map(|verdict| {
        let told = verdict.violations.into_iter();
        told.map(move |told| (verdict.invariant, told))
    });
    violations.collect()
}

#[test]
fn three_elections_are_judged_each_by_its_own() {
    let history = three(&clean(), |_| {});
    assert_held(&history);
    let report = Report::of(&history);
    assert_eq!((report.terms, report.handovers), (9, 6));
    let text = report.to_string();
    let summary = "3 elections, 9 terms at work, 6 hand-overs to another process";
    assert!(text.contains(summary), "{text}");
}

#[test]
fn an_overlap_in_the_second_of_three_elections() {
    let history = three(&clean(), |history| {
        replace(second(history), &began(105, 2), began(99, 2));
    });
    let violations = violations(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    let (invariant, told) = &violations[0];
    assert_eq!(*invariant, 1);
    assert!(
        told.starts_with("reports: 1-1 in term 1") && told.contains("at work at once"),
        "{told}"
    );
}

#[test]
fn the_second_of_three_elections_that_nobody_leads_any_more() {
    let history = three(&clean(), |history| {
        history.database.terms.pop();
        history.database.writes.pop();
        first(history).truncate(11);
    });
    let violations = violations(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    let (invariant, told) = &violations[0];
    assert_eq!(*invariant, 6);
    let words = "reports: nobody led for 2.80 s after 200000000 (term 2 had ended by kill -9)";
    assert!(told.starts_with(words), "{told}");
}

#[test]
fn the_second_of_three_elections_that_nobody_has_ever_led() {
    let mut base = terms(4, 3000, &[]);
    // Whatever befalls somebody who takes part is waited for.
    for mark in &mut base.faults {
        if let Mark::Begin { election, .. } = mark {
            *election = Some(BILLING.to_owned());
        }
    }
    let history = three(&base, |history| {
        history.database.terms.clear();
        history.database.writes.clear();
        for process in &mut history.processes {
            process.entries.truncate(2);
        }
        history.faults.clear();
    });
    let violations = violations(&history);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    let (invariant, told) = &violations[0];
    assert_eq!(*invariant, 6);
    let words = "reports: nobody led for 15.04 s after 10000000 (term 0 had ended by nothing)";
    assert!(told.starts_with(words), "{told}");
    // Nor is it taken for a proof of anything else.
    let lacking = judge(&history).into_iter();
    let lacking: Vec<String> = lacking.flat_map(|verdict| verdict.lacking).collect();
    for words in [
        "reports has 0 terms at work",
        "reports has fenced rows of 0 terms",
    ] {
        assert!(lacking.iter().any(|said| said == words), "{lacking:#?}");
    }
}

#[test]
fn many_elections_are_told_in_a_few_lines() {
    let mut history = clean();
    let others = (2..=200).map(|number| format!("election-{number}"));
    history.run.elections.extend(others);
    let text = Report::of(&history).to_string();
    let lines = text.lines().count();
    assert!(lines < 60, "{lines} lines: {text}");
    assert!(text.contains("and 196 that were led more"), "{text}");
    assert!(text.contains("  and 194 more"), "{text}");
}

/// A gap begins where the work has ended, also of work that seldom does a step.
#[test]
fn work_goes_on_between_two_steps() {
    let gaps = |pace, change: &dyn Fn(&mut History)| {
        let mut history = clean();
        history.run.pace_ms = pace;
        change(&mut history);
        let report = Report::of(&history);
        let of = |cause: &str| report.gaps[cause].milliseconds.clone();
        (of("step down"), of("kill -9"))
    };
    // Stopped at 101, killed at 204.
    assert_eq!(gaps(0, &|_| {}), (vec![5.0], vec![1006.0]));
    assert_eq!(gaps(300, &|_| {}), (vec![4.0], vec![1002.0]));
    // Killed when the next step had been due for long.
    let later = |history: &mut History| {
        history.faults[3] = begin(600, 2, Kind::KilledProcess, Some("2-1"));
        history.faults[4] = gone(601, "2-1");
    };
    let (_, killed) = gaps(300, &|history| {
        later(history);
        let of_billing = begin_in_election(203, 3, Kind::KilledProcess, Some("2-1"), BILLING);
        history.faults.extend([of_billing, end(203, 3)]);
        // A fault of somebody else ends nothing.
        history.faults.extend([
            begin(202, 4, Kind::StoppedProcess, Some("3-1")),
            end(900, 4),
        ]);
    });
    assert_eq!(killed, [1003.0]);
}

// From files.

fn write(history: &History) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let lines = |lines: Vec<String>| lines.join("\n") + "\n";
    let json = |mark: &Mark| serde_json::to_string(mark).unwrap();
    fs::write(
        path.join(FAULTS),
        lines(history.faults.iter().map(json).collect()),
    )
    .unwrap();
    fs::write(path.join(RUN), serde_json::to_string(&history.run).unwrap()).unwrap();
    fs::write(
        path.join(DATABASE),
        serde_json::to_string(&history.database).unwrap(),
    )
    .unwrap();
    fs::create_dir(path.join(PROCESSES)).unwrap();
    for process in &history.processes {
        let entries = process.entries.iter();
        let text: String = entries
            .map(|entry| format!("\n{}\n", entry.line(&process.name)))
            .collect();
        let record = format!("{}.{RECORD}", process.name);
        fs::write(path.join(PROCESSES).join(record), text).unwrap();
        let said = format!("INFO took office\n{}\n", process.refusals.join("\n"));
        let log = format!("{}.stderr", process.name);
        fs::write(path.join(PROCESSES).join(log), said).unwrap();
    }
    directory
}

#[test]
fn what_was_written_is_read() {
    let mut history = clean();
    let refusal = "WARN no session: starting up (SQLSTATE 57P03)".to_owned();
    history.processes[0].refusals.push(refusal);
    let read = History::read(write(&history).path()).unwrap();
    assert_eq!(
        (read.run, read.processes, read.faults, read.database),
        (
            history.run,
            history.processes,
            history.faults,
            history.database
        )
    );
}

#[test]
fn a_last_line_that_was_cut_off_says_nothing() {
    let history = clean();
    let directory = write(&history);
    let file = directory.path().join(PROCESSES).join("2-1.record");
    let whole = fs::read_to_string(&file).unwrap();
    let last = whole.lines().last().unwrap().len();
    for length in 0..=last {
        fs::write(&file, &whole[..whole.len() - length]).unwrap();
        let read = History::read(directory.path()).unwrap();
        let all = history.processes[1].entries.len();
        assert_eq!(
            read.processes[1].entries.len(),
            if length == 0 { all } else { all - 1 }
        );
    }
}

#[test]
fn a_line_in_the_middle_that_is_none_is_an_error() {
    let directory = write(&clean());
    let file = directory.path().join(PROCESSES).join("2-1.record");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replacen("started", "start", 1);
    fs::write(&file, text).unwrap();
    let error = History::read(directory.path()).unwrap_err().to_string();
    assert!(error.contains("2-1.record:1"), "{error}");
}

#[test]
fn the_report_counts_faults_and_gaps() {
    let report = Report::of(&clean());
    assert!(report.held());
    assert_eq!(report.faults["kill -9"], 1);
    assert_eq!(report.gaps["step down"].milliseconds, [5.0]);
    assert_eq!(report.gaps["kill -9"].milliseconds, [1006.0]);
    let availability = &report.availability[BILLING];
    let without = (5.0 + 1006.0) / 2990.0;
    assert!(
        (availability.of_all - (1.0 - without)).abs() < 1e-9,
        "{availability:?}"
    );
    assert_eq!(availability.terms, 3);
    let text = report.to_string();
    assert!(
        text.contains("| kill -9 | 1 | 1006.0 | 1006.0 | 63 % |"),
        "{text}"
    );
}
