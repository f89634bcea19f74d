//! The command `pg-leader`, as it was built.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::cluster::Server;

/// What it said, and how it ended.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// It, with nothing of this process's environment.
pub fn bare() -> Command {
    let binary = std::env::var_os("CARGO_BIN_EXE_pg-leader")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_pg-leader").into());
    let mut command = Command::new(binary);
    command.env_clear().stdin(Stdio::null());
    command
}

/// By a cluster's URL.
pub fn at(cluster: &impl Server, arguments: &[&str]) -> Command {
    let mut command = bare();
    command.env("DATABASE_URL", cluster.url()).args(arguments);
    command
}

pub fn run(mut command: Command) -> Answer {
    let output = command.output().expect("the command is built");
    Answer {
        code: output.status.code().expect("it ended by itself"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Answer {
    /// Standard output, an object a line.
    pub fn objects(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// The only object.
    pub fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }
}

/// The keys of an object, in the order of their names.
pub fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}
