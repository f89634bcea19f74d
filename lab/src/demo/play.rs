//! The play: the candidates enter, one thing after the other happens to their leader, and each is judged.

use std::time::{Duration, Instant};

use pg_leader_lab::candidate::Task;
use pg_leader_lab::contest::Contest;
use pg_leader_lab::judge::{self, Span};
use tokio::sync::watch;

use crate::arguments::Arguments;
use crate::database::Database;
use crate::event::{Event, Measured, Outcome};
use crate::screen::Screen;
use crate::status::{self, Status};
use crate::{Error, LEASE};

const ADDRESSES: [&str; 3] = ["candidate-1", "candidate-2", "candidate-3"];

/// So long may anything take that is waited for. The bounds of the events are tighter.
const CEILING: Duration = Duration::from_secs(15);

/// So long the new leader works undisturbed, for the audience.
const PAUSE: Duration = Duration::from_millis(1500);

/// Fields are dropped in this order: the candidates end before their server does.
pub(crate) struct Play {
    candidates: Contest,
    status: watch::Receiver<Option<Status>>,
    database: Database,
    screen: Screen,
    outcomes: Vec<Outcome>,
}

impl Play {
    /// The server is there, three candidates are, and one of them leads.
    pub(crate) async fn prepare(arguments: &Arguments, screen: &Screen) -> Result<Play, Error> {
        let named = arguments.named_database();
        if named.is_none() {
            screen.happened("starting a throw-away PostgreSQL cluster");
        }
        let database = Database::prepare(named).await?;
        screen.introduce(&database.describe().await?, database.election());
        let task = Task {
            application_name: Some("pg-leader demo".to_owned()),
            log: "warn".to_owned(),
            ..Task::new(database.url(), database.election(), LEASE)
        };
        let mut play = Play {
            candidates: Contest::new(task),
            status: status::watch(database.url(), database.election(), screen),
            database,
            screen: screen.clone(),
            outcomes: vec![],
        };
        for address in ADDRESSES {
            play.candidates.join(address)?;
        }
        play.show_candidates();
        play.happened("three candidates are started, each a process of its own");
        play.settled(1).await?;
        Ok(play)
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Everything that happens. Whether all of it together held; each by itself is in the outcomes.
    pub(crate) async fn perform(&mut self) -> Result<bool, Error> {
        for event in Event::ALL {
            tokio::time::sleep(PAUSE).await;
            self.screen.begins(event);
            let outcome = if event == Event::CrashServer && self.database.cluster().is_none() {
                Outcome::skipped(event, "this server is not ours to crash")
            } else {
                self.happen(event).await?
            };
            self.screen.outcome(outcome.clone());
            self.outcomes.push(outcome);
        }
        tokio::time::sleep(PAUSE).await;
        // Once more over all of it: what came late counts too.
        let spans = self.candidates.ledger().spans()?;
        let all: Vec<&Span> = spans.iter().collect();
        let terms_rise =
            judge::shared_terms(&all).is_empty() && judge::fallen_terms(&all).is_empty();
        Ok(judge::overlap(&spans).is_zero() && terms_rise)
    }

    /// Stay up: whatever happens now is somebody else's doing.
    pub(crate) async fn keep(&mut self) -> Result<(), Error> {
        loop {
            self.candidates.ledger().clear();
            tokio::time::sleep(CEILING).await;
        }
    }

    async fn happen(&mut self, event: Event) -> Result<Outcome, Error> {
        let before = self.settled(1).await?;
        let (old, leader) = (before.term, before.address.unwrap_or_default());
        let direct = self.database.is_direct(old).await?;
        let election = self.database.election().to_owned();
        match event {
            Event::StepDown => {
                self.happened(format!("SELECT pgleader.step_down('{election}')"));
                self.database.step_down().await?;
            }
            Event::KillSession => {
                self.happened(format!("{leader}'s session is ended from SQL"));
                self.database.kill_session().await?;
            }
            Event::KillProcess => {
                let pid = self.candidates.kill(&leader)?;
                self.happened(format!("kill -9 {pid}: {leader} is dead"));
            }
            Event::StopProcess => {
                let pid = self.candidates.stop(&leader)?;
                self.happened(format!(
                    "kill -STOP {pid}: {leader} hangs, and does not know"
                ));
            }
            Event::CrashServer => {
                self.happened("pg_ctl stop -m immediate: the server crashes");
                self.crash().await?;
            }
        }
        self.show_candidates();
        let new = self.next_term(old).await?;
        let late = self.clear_up(event, &leader, old).await?;
        self.settled(new).await?;

        let spans = self.candidates.ledger().spans()?;
        let later: Vec<Span> = spans.into_iter().filter(|span| span.term >= old).collect();
        let gap = judge::gap_after(&later, old)
            .ok_or_else(|| format!("no work is recorded of term {old}"))?;
        let overlap = judge::overlap(&later);
        let measured = Measured {
            term: new,
            gap,
            overlap,
        };
        let outcome = Outcome::judge(event, direct, old, measured);
        Ok(match late {
            0 => outcome,
            _ => outcome.broken(format!("{leader} worked {late} steps after it woke")),
        })
    }

    async fn crash(&self) -> Result<(), Error> {
        let Some(cluster) = self.database.cluster() else {
            return Ok(());
        };
        cluster.stop_immediate()?;
        self.happened("pg_ctl start");
        Ok(cluster.start_again()?)
    }

    /// Three candidates again. How many steps a woken one still worked in its old term.
    async fn clear_up(&mut self, event: Event, leader: &str, old: i64) -> Result<usize, Error> {
        match event {
            Event::KillProcess => {
                self.candidates.join(leader)?;
                self.happened(format!("{leader} is started again"));
            }
            Event::StopProcess => {
                tokio::time::sleep(PAUSE).await;
                self.candidates.go_on(leader)?;
                self.happened(format!("kill -CONT: {leader} wakes"));
                self.show_candidates();
                self.settled(old + 1).await?;
                let spans = self.candidates.ledger().spans()?;
                let of_old: Vec<&Span> = spans.iter().filter(|span| span.term == old).collect();
                let late = of_old.iter().map(|span| span.after_halt).sum();
                self.happened(format!(
                    "{leader} has begun {late} steps of term {old} since it woke"
                ));
                if of_old.iter().any(|span| !span.under_way.is_empty()) {
                    self.happened(
                        "it has finished one that the stop had cut in two: only a fence refuses such a write",
                    );
                }
                return Ok(late);
            }
            Event::StepDown | Event::KillSession | Event::CrashServer => {}
        }
        self.show_candidates();
        Ok(0)
    }

    /// The first term after `old` in which somebody works.
    async fn next_term(&mut self, old: i64) -> Result<i64, Error> {
        let deadline = Instant::now() + CEILING;
        loop {
            if let Some(new) = judge::next_term(&self.candidates.ledger().spans()?, old) {
                return Ok(new);
            }
            self.wait(deadline, "another leader").await?;
        }
    }

    /// The status once somebody leads, in `term` or later, somebody is next in line and all three take part.
    async fn settled(&mut self, term: i64) -> Result<Status, Error> {
        let deadline = Instant::now() + CEILING;
        loop {
            let status = self.status.borrow().clone();
            if let Some(status) =
                status.filter(|status| status.term >= term && status.is_settled(ADDRESSES.len()))
            {
                return Ok(status);
            }
            self.wait(deadline, "a leader, a successor and three candidates")
                .await?;
        }
    }

    async fn wait(&mut self, deadline: Instant, what: &str) -> Result<(), Error> {
        self.candidates.check()?;
        if Instant::now() > deadline {
            let warnings = self.candidates.warnings();
            return Err(format!("waited {CEILING:?} in vain for {what}{warnings}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    fn happened(&self, what: impl Into<String>) {
        self.screen.happened(what);
    }

    fn show_candidates(&self) {
        self.screen.candidates(self.candidates.rows());
    }
}
