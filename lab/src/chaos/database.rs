//! What chaos asks the primary.

use std::collections::BTreeSet;

use pg_leader::testing::ClusterError;

use super::judge::history::Database;
use super::stage::Stage;
use crate::Result;

/// Who leads an election, and who is next in line, as far as the server answers.
pub(super) fn standing(stage: &Stage, election: &str) -> (Option<String>, Option<String>) {
    let query = format!(
        "SELECT concat_ws(' ', coalesce(address, '-'), coalesce(successor, '-')) \
         FROM pgleader.status WHERE name = '{election}'"
    );
    let Ok(Some(names)) = stage.primary().query(&query) else {
        return (None, None);
    };
    let mut names = names
        .split(' ')
        .map(|name| (name != "-").then(|| name.to_owned()));
    (names.next().flatten(), names.next().flatten())
}

/// The candidacies whose sessions live: election and process.
const CANDIDATES: &str =
    "SELECT coalesce(json_agg(json_build_array(e.name, c.address)), '[]')::text
    FROM pgleader.candidate AS c
    JOIN pgleader.election AS e ON e.id = c.election_id
    JOIN pg_stat_activity AS a ON a.pid = c.pid AND a.backend_start = c.backend_start";

pub(super) fn candidates(stage: &Stage) -> Result<Vec<(String, String)>> {
    let text = stage.primary().query(CANDIDATES)?;
    Ok(serde_json::from_str(&text.unwrap_or_default())?)
}

/// The elections that somebody leads.
const LED: &str =
    "SELECT coalesce(json_agg(name), '[]')::text FROM pgleader.status WHERE address IS NOT NULL";

fn led(stage: &Stage) -> Result<BTreeSet<String>> {
    let text = stage.primary().query(LED)?;
    Ok(serde_json::from_str(&text.unwrap_or_default())?)
}

/// Whether these processes, and somebody leading, are in every election.
pub(super) fn is_in_order(stage: &Stage, elections: &[String], processes: &[&str]) -> bool {
    let (Ok(candidates), Ok(led)) = (candidates(stage), led(stage)) else {
        return false;
    };
    let candidates: BTreeSet<(&str, &str)> = candidates
        .iter()
        .map(|(election, process)| (election.as_str(), process.as_str()))
        .collect();
    elections.iter().all(|election| {
        let takes_part = |process: &&str| candidates.contains(&(election.as_str(), *process));
        led.contains(election) && processes.iter().all(takes_part)
    })
}

/// Everything that the judge wants to know.
const DATABASE: &str = "SELECT json_build_object(
    'terms', (SELECT coalesce(json_agg(json_build_object(
            'election', e.name, 'number', t.number, 'process', t.address,
            'started', (extract(epoch FROM t.started_at) * 1000000000)::bigint,
            'vacated', (extract(epoch FROM t.vacated_at) * 1000000000)::bigint,
            'ending', t.ending, 'direct', t.direct) ORDER BY e.name, t.number), '[]')
        FROM pgleader.term AS t JOIN pgleader.election AS e ON e.id = t.election_id),
    'writes', (SELECT coalesce(json_agg(json_build_object(
            'sequence', sequence, 'election', election, 'term', term,
            'transaction', transaction::text::bigint, 'snapshot', snapshot::text) ORDER BY sequence), '[]')
        FROM fenced),
    'candidates', json_build_array())::text";

pub(super) fn read(stage: &Stage, candidates: Vec<(String, String)>) -> Result<Database> {
    let text = stage.primary().query(DATABASE)?;
    let database: Database = serde_json::from_str(&text.unwrap_or_default())?;
    Ok(Database {
        candidates,
        ..database
    })
}

/// The server and the machine, in a line.
pub(super) fn describe(stage: &Stage) -> Result<String, ClusterError> {
    let version = stage
        .primary()
        .query("SELECT split_part(version(), ' (', 1)")?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(format!(
        "{}, {processors} processors",
        version.unwrap_or_default()
    ))
}
