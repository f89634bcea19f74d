//! The engine, broken on purpose. Each must be found, by the checker (`tests/model_mutants.rs`) or by the simulator
//! (`tests/simulator_mutants.rs`).

/// One way to break it.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
}

/// Words of the source, and what stands there instead.
#[derive(Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

const fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, from, to }
}

/// An answer that comes after the deadline moves it.
const LATE_ANSWERS_COUNT: [Edit; 4] = [
    edit(
        "process/mod.rs",
        "self.expire(now);
        match event {",
        "let answered = matches!(event, Event::Answered { .. });
        if !answered {
            self.expire(now);
        }
        match event {",
    ),
    edit(
        "process/mod.rs",
        "self.follow_up(now, first);",
        "self.follow_up(now, first, answered);",
    ),
    edit(
        "process/mod.rs",
        "fn follow_up(&mut self, now: Instant, first: usize) {",
        "fn follow_up(&mut self, now: Instant, first: usize, answered: bool) {",
    ),
    edit(
        "process/mod.rs",
        "is over as well.
        self.expire(now);",
        "is over as well.
        if !answered {
            self.expire(now);
        }",
    ),
];

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "works_before_it_has_looked",
        edits: &[edit(
            "process/seen_hosts.rs",
            "!self.unlooked.contains(&key) && !self.looking.contains(&key)",
            "true",
        )],
    },
    Mutant {
        name: "begins_what_was_seen_held_meanwhile",
        edits: &[edit(
            "process/hosts.rs",
            "if self.hosts.held.contains(&key) {",
            "if false {",
        )],
    },
    Mutant {
        name: "stays_below_a_higher_one",
        edits: &[edit("process/mod.rs", "if higher {", "if false {")],
    },
    Mutant {
        name: "held_for_ever",
        edits: &[edit(
            "process/seen_hosts.rs",
            "self.contested = contested;",
            "self.contested = contested;
        let held: Vec<Key> = held.into_iter().chain(self.held.clone()).collect();",
        )],
    },
    Mutant {
        name: "aborted_without_a_margin",
        edits: &[edit(
            "process/session.rs",
            "work.leash.lose(contact + self.timings.deposed);",
            "work.leash.lose(contact + self.timings.deposed + (self.timings.lease - self.timings.aborted));",
        )],
    },
    Mutant {
        name: "work_forgotten_with_the_driver",
        edits: &[edit(
            "restart.rs",
            "if running.contains(&(key, term)) {",
            "if false {",
        )],
    },
    Mutant {
        name: "work_forgotten_with_the_rules",
        edits: &[edit(
            "restart.rs",
            "work: desk.running.map(|term| (term, old.lasts_until(now, key))),",
            "work: None,",
        )],
    },
    Mutant {
        name: "work_that_never_started_is_waited_for",
        edits: &[edit(
            "restart.rs",
            "self.event(now, Event::WorkStopped { key, term, stop });",
            "let _ = stop;",
        )],
    },
    Mutant {
        name: "candidacies_forgotten_with_the_rules",
        edits: &[edit(
            "restart.rs",
            "let Some(candidature) = &desk.candidature else {",
            "let Some(candidature) = desk.candidature.as_ref().filter(|_| false) else {",
        )],
    },
    Mutant {
        name: "half_done_rules_go_on",
        edits: &[edit(
            "handle.rs",
            "if std::mem::replace(&mut self.busy, true) {",
            "if false {",
        )],
    },
    Mutant {
        name: "heard_forgotten_with_the_rules",
        edits: &[edit(
            "process/mod.rs",
            "heard: self.heard.clone(),",
            "heard: BTreeMap::new(),",
        )],
    },
    Mutant {
        name: "answers_of_the_newest_request",
        edits: &[edit(
            "handle.rs",
            "let Some(InFlight { sent, query }) = self.in_flight.pop_front() else {
            return;
        };
        match",
            "let Some(InFlight { sent, query }) = self.in_flight.pop_back() else {
            return;
        };
        match",
        )],
    },
    Mutant {
        name: "requests_outlive_their_session",
        edits: &[edit("act.rs", "self.in_flight.clear();", "")],
    },
    Mutant {
        name: "nobody_aborts",
        edits: &[edit(
            "handle.rs",
            ".aborting(setup.aborts)",
            ".aborting(false)",
        )],
    },
    Mutant {
        name: "no_refractory_period",
        edits: &[edit(
            "process/office.rs",
            "let until = now + won.wait;",
            "let until = now;",
        )],
    },
    Mutant {
        name: "deadline_from_the_answer",
        edits: &[edit(
            "process/answers.rs",
            "up.contact = up.contact.max(sent);",
            "up.contact = up.contact.max(now);",
        )],
    },
    Mutant {
        name: "unlock_before_the_work_stopped",
        edits: &[edit(
            "process/ending.rs",
            "work.leash.end(now, grace);
            self.actions.push_back(Action::Cancel { key });",
            "work.leash.end(now, grace);
            self.actions.push_back(Action::Cancel { key });
            self.follow(key);
            self.release(&[key], &[]);",
        )],
    },
    Mutant {
        name: "autopsy_of_an_indirect_session",
        edits: &[edit(
            "process/office.rs",
            ".filter(|_| won.direct && candidacy.autopsy && !silent)",
            ".filter(|_| candidacy.autopsy && !silent)",
        )],
    },
    Mutant {
        name: "sample_of_any_backend",
        edits: &[edit(
            "evidence.rs",
            ".filter(|_| held.holder_pid == held.leader_pid)?;",
            "?;",
        )],
    },
    Mutant {
        name: "sample_kept_across_a_reconnect",
        edits: &[
            edit(
                "candidacy.rs",
                "    pub(crate) bar: Option<Bar>,
    /// The server",
                "    pub(crate) bar: Option<Bar>,
    pub(crate) kept: Option<Evidence>,
    /// The server",
            ),
            edit(
                "candidacy.rs",
                "bar: None,
            refusal",
                "bar: None,
            kept: None,
            refusal",
            ),
            edit(
                "process/session.rs",
                "let place = std::mem::replace(&mut candidacy.place, Place::Absent);",
                "let place = std::mem::replace(&mut candidacy.place, Place::Absent);
            if let Place::Following(following) = &place {
                candidacy.kept = following.watch.clone();
            }",
            ),
            edit(
                "process/answers.rs",
                "candidacy.next_try = NextTry::At(now);",
                "candidacy.next_try = NextTry::At(now);
                        if let Place::Following(following) = &mut candidacy.place {
                            following.watch = candidacy.kept.take();
                        }",
            ),
        ],
    },
    Mutant {
        name: "sessions_fatal_ignored",
        edits: &[edit(
            "process/answers.rs",
            "waiting.evidence.take() == Some(counters)",
            "waiting.evidence.take().is_some_and(|sample| (sample.killed, sample.reset) == (counters.killed, counters.reset))",
        )],
    },
    Mutant {
        name: "sessions_killed_ignored",
        edits: &[edit(
            "process/answers.rs",
            "waiting.evidence.take() == Some(counters)",
            "waiting.evidence.take().is_some_and(|sample| (sample.fatal, sample.reset) == (counters.fatal, counters.reset))",
        )],
    },
    Mutant {
        name: "reset_ignored",
        edits: &[edit(
            "process/answers.rs",
            "waiting.evidence.take() == Some(counters)",
            "waiting.evidence.take().is_some_and(|sample| (sample.killed, sample.fatal) == (counters.killed, counters.fatal))",
        )],
    },
    Mutant {
        name: "counters_before_the_backend_is_gone",
        edits: &[edit(
            "process/answers.rs",
            "if looking.is_some()
            && gone
",
            "if looking.is_some()
",
        )],
    },
    Mutant {
        name: "late_answer_revives",
        edits: &LATE_ANSWERS_COUNT,
    },
    Mutant {
        name: "work_starts_too_late",
        edits: &[
            LATE_ANSWERS_COUNT[0],
            LATE_ANSWERS_COUNT[1],
            LATE_ANSWERS_COUNT[2],
            LATE_ANSWERS_COUNT[3],
            edit(
                "process/office.rs",
                "// The answer may have come so late that the term is over before its work began.
        self.expire(now);",
                "",
            ),
        ],
    },
    Mutant {
        name: "work_not_dropped_when_deposed",
        edits: &[edit(
            "process/session.rs",
            "work.leash.lose(contact + self.timings.deposed);",
            "",
        )],
    },
    Mutant {
        name: "vacates_while_the_work_runs",
        edits: &[edit(
            "process/due.rs",
            "_ if self.work.is_some() => Instant::NEVER,
            (Some(owed)",
            "(Some(owed)",
        )],
    },
    Mutant {
        name: "refused_for_ever",
        edits: &[edit(
            "process/refusals.rs",
            "let until = now + self.jitter.around(self.timings.refusal(times));
        candidacy",
            "let until = Instant::NEVER;
        candidacy",
        )],
    },
    Mutant {
        name: "half_a_lease_of_silence",
        edits: &[
            edit(
                "process/eviction.rs",
                "watch.silent_for() >= self.timings.eviction(lease));",
                "watch.silent_for() >= lease / 2);",
            ),
            edit(
                "process/office.rs",
                ".filter(|watch| watch.silent_for() >= self.timings.irrevocable(won.wait))
            .map_or(until, |watch| (watch.silent_since() + won.wait).max(now));",
                ".filter(|watch| watch.silent_for() >= won.wait / 2)
            .map_or(until, |_| now);",
            ),
        ],
    },
    Mutant {
        name: "silence_from_the_sending_to_the_answer",
        edits: &[
            edit(
                "evidence.rs",
                "lasted: sent.since(silence.since),",
                "lasted: now.since(silence.since),",
            ),
            edit("evidence.rs", "since: now,", "since: sent,"),
        ],
    },
    Mutant {
        name: "never_deposed",
        edits: &[edit(
            "process/due.rs",
            "up.contact + self.timings.deposed",
            "Instant::NEVER",
        )],
    },
    Mutant {
        name: "work_not_aborted",
        edits: &[edit(
            "process/hosts.rs",
            "Work::new(term, self.timings.leash())",
            "Work::new(term, crate::engine::Leash::until(Instant::NEVER, self.timings.dropped - self.timings.deposed))",
        )],
    },
    Mutant {
        name: "heard_by_nobody",
        edits: &[edit(
            "process/mod.rs",
            "if heard.term > self.heard_of(key).term {",
            "if false {",
        )],
    },
    Mutant {
        name: "heard_until_the_session_ends",
        edits: &[edit(
            "process/session.rs",
            "self.actions.push_back(Action::Abandon);",
            "self.actions.push_back(Action::Abandon);
        self.heard.clear();",
        )],
    },
    Mutant {
        name: "elsewhere_is_not_waited_for",
        edits: &[
            edit(
                "process/due.rs",
                "self.stopped_at.max(self.elsewhere_until).max(self.try_at)",
                "self.stopped_at.max(self.try_at)",
            ),
            edit(
                "process/slices.rs",
                "filter(|_| now >= waiting.elsewhere_until)",
                "filter(|_| true)",
            ),
        ],
    },
    Mutant {
        name: "begins_again_at_once",
        edits: &[edit(
            "process/ending.rs",
            "if failed || work.was_brief {",
            "if failed {",
        )],
    },
    Mutant {
        name: "no_reconnection",
        edits: &[edit(
            "process/session.rs",
            "Phase::Up(_) => self.lose_session(now, why),
            Phase::Down { .. }",
            "Phase::Up(_) => {
                self.lose_session(now, why);
                self.session = Phase::Down { connect_at: Instant::NEVER, failures: 0 };
            }
            Phase::Down { .. }",
        )],
    },
    // What the simulator finds (`tests/simulator_mutants.rs`).
    Mutant {
        name: "fails_without_being_asked",
        edits: &[edit(
            "handle.rs",
            "if self.setup.fails_fast && self.instance.is_none() {",
            "if self.instance.is_none() {",
        )],
    },
    Mutant {
        name: "fails_fast_for_ever",
        edits: &[edit(
            "handle.rs",
            "if self.setup.fails_fast && self.instance.is_none() {",
            "if self.setup.fails_fast {",
        )],
    },
    Mutant {
        name: "fails_fast_is_forgotten",
        edits: &[edit(
            "handle.rs",
            "if self.setup.fails_fast && self.instance.is_none() {",
            "if false {",
        )],
    },
    Mutant {
        name: "ticks_as_if_nothing_worked",
        edits: &[edit(
            "process/due.rs",
            "self.candidacies.any(Role::Worker)",
            "false",
        )],
    },
    Mutant {
        name: "own_notifications_are_heeded",
        edits: &[edit(
            "handle.rs",
            "if Some(notification.pid) != self.pid {",
            "if true {",
        )],
    },
    Mutant {
        name: "no_notification_is_heeded",
        edits: &[edit(
            "handle.rs",
            "if Some(notification.pid) != self.pid {",
            "if false {",
        )],
    },
    Mutant {
        name: "deaf_work_is_given_time",
        edits: &[edit(
            "process/session.rs",
            "if !candidacy.graceful {",
            "if false {",
        )],
    },
    Mutant {
        name: "deaf_work_is_given_grace",
        edits: &[edit(
            "process/ending.rs",
            "let grace = if candidacy.graceful {",
            "let grace = if true {",
        )],
    },
    Mutant {
        name: "no_hint_may_be_refused",
        edits: &[edit("handle.rs", "if !query.may_fail() {", "if true {")],
    },
    Mutant {
        name: "everything_may_be_refused",
        edits: &[edit("handle.rs", "if !query.may_fail() {", "if false {")],
    },
    Mutant {
        name: "resigned_before_the_work_stopped",
        edits: &[edit(
            "process/ending.rs",
            "candidacy.resigning && !self.has_to_give_up(candidacy)",
            "candidacy.resigning",
        )],
    },
    Mutant {
        name: "who_resigns_is_never_told",
        edits: &[edit(
            "act.rs",
            "Action::GaveUp { key } => self.resigned(key),",
            "Action::GaveUp { .. } => {}",
        )],
    },
    Mutant {
        name: "resigned_without_its_term",
        edits: &[edit(
            "handle.rs",
            "let term = self.rules.term(key);",
            "let term = self.rules.term(key).filter(|_| false);",
        )],
    },
    Mutant {
        name: "left_before_the_work_stopped",
        edits: &[edit(
            "process/due.rs",
            "let settled = told && self.work.is_none() && self.owed.is_none();",
            "let settled = told;",
        )],
    },
    Mutant {
        name: "who_leaves_is_not_heard",
        edits: &[edit(
            "handle.rs",
            "desk.is_candidacy(candidacy)) {
            desk.leaves = true;
            self.event(now, Event::Leave { key });",
            "desk.is_candidacy(candidacy)) {
            desk.leaves = true;",
        )],
    },
    Mutant {
        name: "who_asked_is_forgotten",
        edits: &[edit(
            "asking.rs",
            "if !noted && desk.running.is_none_or(|running| running == term) {",
            "if false {",
        )],
    },
    Mutant {
        name: "who_asked_is_not_told",
        edits: &[edit(
            "asking.rs",
            ".filter(|(of, _)| ending == Ending::SteppedDown && *of == term)",
            ".filter(|_| false)",
        )],
    },
    Mutant {
        name: "starts_what_has_not_begun",
        edits: &[edit(
            "act.rs",
            "self.batch.begun.push(Output::Begin { key, term, token });",
            "",
        )],
    },
    Mutant {
        name: "starts_before_it_is_shown",
        edits: &[edit(
            "act.rs",
            "self.out.extend(begun.into_iter().chain(shown).chain(done));",
            "self.out.extend(begun.into_iter().chain(done).chain(shown));",
        )],
    },
    Mutant {
        name: "who_was_not_reached_is_forgotten",
        edits: &[edit(
            "process/slices.rs",
            "            self.not_reached(now, kind, key);",
            "",
        )],
    },
    Mutant {
        name: "goodbye_while_work_runs",
        edits: &[edit(
            "process/mod.rs",
            "self.stopping && self.candidacies.is_empty()",
            "self.stopping",
        )],
    },
];
