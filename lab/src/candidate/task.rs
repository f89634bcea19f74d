//! What a candidate's process is told to do, by its environment: in its arguments every user of the machine could read the
//! password of its database.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::record::Work;

/// Of so many elections, or fewer, each step and each look is written down.
pub const USUAL: usize = 2;

const VARIABLE: &str = "PG_LEADER_LAB_CANDIDATE";

/// How many times the usual number of elections that is. What grows with elections is done less often by so much: a process
/// of many works, looks and writes down no more than one of few.
pub fn stretch(elections: usize) -> u32 {
    (elections / USUAL).max(1) as u32
}

/// What a candidate does.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The database.
    pub conninfo: String,
    /// Its own, without spaces.
    pub address: String,
    /// It takes part in all of these.
    pub elections: Vec<String>,
    /// As [`pg_leader::Config::lease`].
    pub lease: Duration,
    /// As [`pg_leader::Config::retry_interval`]; none: the usual one.
    pub retry_interval: Option<Duration>,
    /// As [`pg_leader::Config::grace`]; none: the usual one.
    pub grace: Option<Duration>,
    /// As [`pg_leader::Config::application_name`]; none: the usual one.
    pub application_name: Option<String>,
    /// What its work is like.
    pub work: Work,
    /// How long a step of it takes.
    pub step: Duration,
    /// Between two steps.
    pub pace: Duration,
    /// The file of its record; none: on standard output.
    pub record: Option<PathBuf>,
    /// Tries again where it cannot connect at first.
    pub patient: bool,
    /// Writes down what `state()` and `is_current()` say.
    pub looks: bool,
    /// Writes down whose address it knows.
    pub hears: bool,
    /// Commits fenced transactions beside its work.
    pub writes: bool,
    /// How much it logs to standard error, such as `warn`.
    pub log: String,
}

impl Task {
    /// Plain work, a step each millisecond; nothing else.
    pub fn new(conninfo: &str, election: &str, lease: Duration) -> Task {
        Task {
            conninfo: conninfo.to_owned(),
            address: String::new(),
            elections: vec![election.to_owned()],
            lease,
            retry_interval: None,
            grace: None,
            application_name: None,
            work: Work::Plain,
            step: Duration::ZERO,
            pace: Duration::from_millis(1),
            record: None,
            patient: false,
            looks: false,
            hears: false,
            writes: false,
            log: "off".to_owned(),
        }
    }

    pub(super) fn stretch(&self) -> u32 {
        stretch(self.elections.len())
    }

    /// What makes `command` this candidate.
    pub fn give_to(&self, command: &mut Command) {
        command.env(VARIABLE, self.text());
    }

    /// What this process was given.
    pub(super) fn given() -> Option<Result<Task>> {
        let text = std::env::var(VARIABLE).ok()?;
        Some(Task::parse(&text))
    }

    /// A line a field.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            text.push_str(&format!("{name} {value}\n"));
        };
        line("conninfo", &self.conninfo);
        line("address", &self.address);
        for election in &self.elections {
            line("election", election);
        }
        line("lease", &self.lease.as_micros());
        if let Some(interval) = self.retry_interval {
            line("retry_interval", &interval.as_micros());
        }
        if let Some(grace) = self.grace {
            line("grace", &grace.as_micros());
        }
        if let Some(name) = &self.application_name {
            line("application_name", name);
        }
        line("work", &self.work);
        line("step", &self.step.as_micros());
        line("pace", &self.pace.as_micros());
        if let Some(record) = &self.record {
            line("record", &record.display());
        }
        line("patient", &self.patient);
        line("looks", &self.looks);
        line("hears", &self.hears);
        line("writes", &self.writes);
        line("log", &self.log);
        text
    }

    fn parse(text: &str) -> Result<Task> {
        let mut task = Task::new("", "", Duration::ZERO);
        task.elections.clear();
        for line in text.lines() {
            let (name, value) = line.split_once(' ').ok_or("a field has a value")?;
            let duration = || value.parse().map(Duration::from_micros);
            match name {
                "conninfo" => task.conninfo = value.to_owned(),
                "address" => task.address = value.to_owned(),
                "election" => task.elections.push(value.to_owned()),
                "lease" => task.lease = duration()?,
                "retry_interval" => task.retry_interval = Some(duration()?),
                "grace" => task.grace = Some(duration()?),
                "application_name" => task.application_name = Some(value.to_owned()),
                "work" => task.work = value.parse()?,
                "step" => task.step = duration()?,
                "pace" => task.pace = duration()?,
                "record" => task.record = Some(value.into()),
                "patient" => task.patient = value.parse()?,
                "looks" => task.looks = value.parse()?,
                "hears" => task.hears = value.parse()?,
                "writes" => task.writes = value.parse()?,
                "log" => task.log = value.to_owned(),
                _ => return Err(format!("a candidate knows no {name}").into()),
            }
        }
        Ok(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_understood_as_it_was_given() {
        let usual = Task::new("host=/tmp user=me", "an election", Duration::from_secs(1));
        let other = Task {
            address: "a:1".to_owned(),
            elections: vec!["one".to_owned(), "and another".to_owned()],
            retry_interval: Some(Duration::from_millis(300)),
            grace: Some(Duration::from_secs(2)),
            application_name: Some("a name".to_owned()),
            work: Work::Spawns,
            step: Duration::from_micros(500),
            record: Some("/tmp/a record".into()),
            patient: true,
            looks: true,
            hears: true,
            writes: true,
            log: "info".to_owned(),
            ..usual.clone()
        };
        for task in [usual, other] {
            assert_eq!(Task::parse(&task.text()).unwrap(), task);
        }
    }

    #[test]
    fn who_takes_part_in_many_elections_does_each_thing_less_often() {
        assert_eq!([0, 1, 2, 3, 4, 200].map(stretch), [1, 1, 1, 1, 2, 100]);
    }
}
