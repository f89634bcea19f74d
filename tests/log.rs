//! What the library logs: one line for all elections that share a fate, and no event that the docs do not
//! list. One test in one process, since a subscriber is the process's.

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, PoisonError};

use pg_leader::{Campaign, Candidacy, ProcessState, Term};
use support::{Cluster, elector, until};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// An event as one line: its level, then its fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(&self, message: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let about = lines.iter().filter(|line| line.contains(message));
        about.cloned().collect()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("pg_leader")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " | {value:?} |"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

const ELECTIONS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn elections_that_share_a_fate_share_a_line_and_each_event_is_documented() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let cluster = Cluster::start().unwrap();
    let elector = elector(&cluster).await;
    let idle = |term: Term| {
        term.ready();
        std::future::pending::<Result<(), std::io::Error>>()
    };
    let leaders: Vec<Candidacy> = (0..ELECTIONS)
        .map(|nth| {
            let name = format!("e{nth}");
            elector.campaign((&name, "here"), idle).unwrap()
        })
        .collect();
    let all_lead = || {
        let leads = |candidacy: &Candidacy| candidacy.state() == ProcessState::Leading;
        leaders.iter().all(leads)
    };
    until("all lead", all_lead).await;
    cluster.terminate_leader("e0").unwrap();
    until("all are deposed", || !lines.of("deposed").is_empty()).await;
    until("all lead again", all_lead).await;
    let deposed = lines.of("deposed: ");
    assert_eq!(deposed.len(), 1, "{deposed:#?}");
    assert!(deposed[0].starts_with("WARN"), "{deposed:?}");
    assert!(deposed[0].contains("elections=100"), "{deposed:?}");
    // One election alone is told of with all that there is to tell.
    leaders[0].resign().await;
    elector.shutdown().await;
    let vacated = lines.of("the term is vacated");
    let one = "election=\"e0\" address=\"here\" term=2 ending=Resigned";
    assert!(
        vacated.iter().any(|line| line.contains(one)),
        "{vacated:#?}"
    );

    assert_work_that_waits_in_vain_is_told_so(&cluster, &lines).await;
    assert_text_of_others_forges_no_line(&cluster, &lines).await;
    assert_each_event_is_documented(&lines);
}

/// Said of work that is dropped though it waits for the end, once a term, and of no other.
async fn assert_work_that_waits_in_vain_is_told_so(cluster: &Cluster, lines: &Lines) {
    for (election, graceful) in [("deaf", false), ("hears", true)] {
        let elector = support::elector(cluster).await;
        let campaign = Campaign::new(election, "here").graceful(graceful);
        let lead = |term: Term| async move {
            term.ready();
            tokio::join!(term.ending(), term.ending());
        };
        let candidacy = elector.campaign(campaign, lead).unwrap();
        until("it leads", || candidacy.state() == ProcessState::Leading).await;
        elector.shutdown().await;
    }
    let deaf = lines.of("the end of the term is awaited");
    assert!(
        deaf.len() == 1 && deaf[0].contains("election=\"deaf\""),
        "{deaf:?}"
    );
}

/// What an error says, and what the server says of what others have named, is in one line; fields are as they are.
async fn assert_text_of_others_forges_no_line(cluster: &Cluster, lines: &Lines) {
    let elector = support::elector(cluster).await;
    let lead = |term: Term| async move {
        term.ready();
        Err::<(), _>(std::io::Error::other("no\n2026 INFO took office\u{1b}[2J"))
    };
    let candidacy = elector.campaign(("a\nb", "c\u{1b}d"), lead).unwrap();
    until("it has failed", || !lines.of("lead failed").is_empty()).await;
    drop(candidacy);
    elector.shutdown().await;
    let failed = lines.of("lead failed");
    assert!(
        failed[0].contains(r"no\n2026 INFO took office\u{1b}[2J |"),
        "{failed:?}"
    );
    assert!(failed[0].contains(r#"election="a\nb""#), "{failed:?}");
    for line in lines.0.lock().unwrap().iter() {
        assert_eq!(pg_leader::shown(line), line.as_str());
    }
}

fn assert_each_event_is_documented(lines: &Lines) {
    let documented = include_str!("../docs/operations.md");
    let events = documented
        .split_once("### Events")
        .expect("a table of events")
        .1;
    let events: Vec<(&str, &str)> = events
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (message, rest) = line.split_once('`')?;
            Some((
                message.split("…").next()?,
                rest.trim_start_matches([' ', '|']),
            ))
        })
        .filter(|(start, _)| !start.is_empty())
        .collect();
    let said = lines.0.lock().unwrap().clone();
    assert!(said.len() > 5, "{said:#?}");
    for line in said {
        let (level, message) = line.split_once(" | ").unwrap();
        let listed = events.iter().any(|(start, listed)| {
            message.starts_with(start)
                && listed.starts_with(&level.split(' ').next().unwrap().to_lowercase())
        });
        assert!(listed, "not in docs/operations.md: {line}");
    }
}
