//! The state machine, broken on purpose. Each must be found by the checker: `tests/model_mutants.rs`.

/// One way to break it.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
}

/// Words of the source, and what stands there instead.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

const fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, from, to }
}

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "begins_before_it_has_looked",
        edits: &[edit(
            "process/hosts.rs",
            "!self.hosts.contested || self.hosts.clear.contains(&key)",
            "true",
        )],
    },
    Mutant {
        name: "begins_what_was_seen_held_meanwhile",
        edits: &[edit(
            "process/office.rs",
            "if self.held_elsewhere(key).is_some() {",
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
            "process/hosts.rs",
            "held: held.into_iter().collect(),",
            "held: held.into_iter().chain(self.hosts.held.clone()).collect(),",
        )],
    },
    Mutant {
        name: "aborted_without_a_margin",
        edits: &[edit(
            "process/session.rs",
            "work.abort_at = contact + self.timings.aborted;",
            "work.abort_at = contact + self.timings.lease;",
        )],
    },
    Mutant {
        name: "work_forgotten_with_the_driver",
        edits: &[edit(
            "process/mod.rs",
            "let work = work.map(|(term, abort_at)| Work {",
            "let work = None.map(|(term, abort_at)| Work {",
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
            "work.drop_at = now + self.timings.grace;
                self.actions.push_back(Action::Cancel { key });",
            "work.drop_at = now + self.timings.grace;
                self.actions.push_back(Action::Cancel { key });
                self.vacate_and_release(now, key, term, ending);",
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
            "watch.rs",
            ".filter(|_| held.holder_pid == held.leader_pid)?;",
            "?;",
        )],
    },
    Mutant {
        name: "sample_kept_across_a_reconnect",
        edits: &[
            edit(
                "process/session.rs",
                "let place = std::mem::replace(&mut candidacy.place, Place::Absent);",
                "let place = candidacy.place.clone();
            if let Place::Following(following) = &mut candidacy.place {
                following.successor = false;
            } else {
                candidacy.place = Place::Absent;
            }",
            ),
            edit(
                "process/following.rs",
                "candidacy.place = Place::Joining;",
                "if !matches!(candidacy.place, Place::Following(_)) {
                candidacy.place = Place::Joining;
            }",
            ),
            edit(
                "process/answers.rs",
                "self.follow(key);
                if let Some(candidacy) = self.candidacies.get_mut(&key) {",
                "if !matches!(self.candidacies.get(&key).map(|c| &c.place), Some(Place::Following(_))) {
                    self.follow(key);
                }
                if let Some(candidacy) = self.candidacies.get_mut(&key) {",
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
            "if looking.is_some() && gone {",
            "if looking.is_some() {",
        )],
    },
    Mutant {
        name: "late_answer_revives",
        edits: &[edit(
            "process/mod.rs",
            "self.expire(now);
        match event {",
            "if !matches!(event, Event::Answered { .. }) {
            self.expire(now);
        }
        match event {",
        )],
    },
    Mutant {
        name: "work_starts_too_late",
        edits: &[
            edit(
                "process/mod.rs",
                "self.expire(now);
        match event {",
                "if !matches!(event, Event::Answered { .. }) {
            self.expire(now);
        }
        match event {",
            ),
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
            "work.drop_at = work.drop_at.min(contact + self.timings.dropped);",
            "",
        )],
    },
    Mutant {
        name: "vacates_while_the_work_runs",
        edits: &[edit(
            "process/due.rs",
            "if self.work.is_none() && !owed.asked => owed.ask_at,",
            "if !owed.asked => owed.ask_at,",
        )],
    },
    Mutant {
        name: "half_a_lease_of_silence",
        edits: &[
            edit(
                "process/tries.rs",
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
                "watch.rs",
                "lasted: sent.since(silence.since),",
                "lasted: now.since(silence.since),",
            ),
            edit("watch.rs", "since: now,", "since: sent,"),
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
            "process/session.rs",
            "work.abort_at = contact + self.timings.aborted;",
            "work.abort_at = Instant::NEVER;",
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
                "process/office.rs",
                "if now >= waiting.elsewhere_until {",
                "if true {",
            ),
        ],
    },
    Mutant {
        name: "no_reconnection",
        edits: &[edit(
            "process/session.rs",
            "Session::Connecting { failures } => self.reconnect(now, failures + 1),
            Session::Up(_) => self.lose_session(now, \"the session ended\"),",
            "Session::Connecting { failures } => self.reconnect(now, failures + 1),
            Session::Up(_) => {
                self.lose_session(now, \"the session ended\");
                self.session = Session::Down { connect_at: Instant::NEVER, failures: 0 };
            }",
        )],
    },
];
