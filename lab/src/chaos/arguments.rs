//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::plan::{Planned, plan};
use crate::candidate::USUAL;

/// A term's work may take a thread that it blocks, and a process has room for 512 of these.
const MOST: i64 = 400;

/// Real processes, real servers, random faults, and a judge.
///
/// Starts seven candidates, each a process of its own with one session, in two elections or more on a throw-away PostgreSQL primary with two
/// standbys: two connect directly, three through a proxy, one by the Unix socket, one by a Unix socket that a proxy listens
/// on. Then faults come at random: killed sessions and processes, stopped processes and threads, cut and slow networks,
/// crashed servers, promotions that last and that are thrown away, operators with every lever, logs that nobody reads, busy
/// processors. Everybody writes down what he does. In the end a judge, who knows nothing but these logs and what is in the
/// database, says of each invariant whether it held.
///
/// What was written is in DIR/SEED: the logs, report.txt and report.json.
#[derive(Debug, Parser)]
#[command(
    name = "cargo chaos",
    bin_name = "cargo chaos",
    args_conflicts_with_subcommands = true,
    after_help = "EXIT STATUS\n  \
        0    every invariant held\n  \
        1    one did not\n  \
        2    the command line is wrong\n  \
        3    none is violated, and too little was seen to judge one: a longer run sees more\n\n\
        EXAMPLES\n  \
        cargo chaos --seconds 60           a minute, with a fresh seed that is printed\n  \
        cargo chaos --seconds 60 --seed 7  the same faults at the same times\n  \
        cargo chaos --plan --seed 7        print them only\n  \
        cargo chaos --elections 200 --seconds 60 --seed 7\n  \
        \x20                                  each process a candidate in 200 elections, by one session\n  \
        cargo chaos judge target/chaos/7   judge again what was written\n\n\
        ENVIRONMENT\n  \
        PG_LEADER_POSTGRES_BIN  the directory of the server's binaries; scripts/postgres finds or installs them\n"
)]
pub(super) struct Arguments {
    /// How long faults come, in seconds; some ten more pass before and after.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,

    /// Where the faults come from. A fresh one by default.
    #[arg(long)]
    pub(super) seed: Option<u64>,

    /// The lease, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(300..=60_000))]
    pub(super) lease: u64,

    /// How many elections each process takes part in, all by its one session. Every invariant is judged in each. The work of
    /// a process, its looks and its fenced transactions are spread over its elections: with 200 a term does a step every
    /// 300 ms instead of every 3. The same seed and number give the same faults.
    #[arg(long, value_name = "N", default_value_t = USUAL as u16, value_parser = clap::value_parser!(u16).range(1..=MOST))]
    pub(super) elections: u16,

    /// Where to write to.
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    pub(super) out: PathBuf,

    /// Print the faults and when they come, and do nothing.
    #[arg(long)]
    pub(super) plan: bool,

    #[command(subcommand)]
    pub(super) role: Option<Role>,
}

/// What else this binary is.
#[derive(Debug, Subcommand)]
pub(super) enum Role {
    /// Judge what an earlier run has written, and write its report anew.
    Judge {
        /// The directory of that run, such as target/chaos/7.
        directory: PathBuf,
    },
    /// A proxy between two Unix sockets.
    #[command(hide = true)]
    Relay { socket: PathBuf, server: PathBuf },
    /// Keep all processors busy.
    #[command(hide = true)]
    Busy { milliseconds: u64 },
}

impl Arguments {
    /// The faults that shall come.
    pub(super) fn schedule(&self, seed: u64) -> Vec<Planned> {
        plan(seed, self.seconds, self.lease(), self.elections.into())
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["cargo chaos"], arguments].concat())
    }

    #[test]
    fn two_elections_unless_told_otherwise() {
        assert_eq!(parse(&[]).unwrap().elections, 2);
        assert_eq!(parse(&["--elections", "200"]).unwrap().elections, 200);
        for wrong in ["0", "401", "-1", "many", ""] {
            assert!(parse(&["--elections", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn faults_befall_every_election_that_was_asked_for() {
        let arguments = ["--elections", "20", "--seconds", "600"];
        let plan = parse(&arguments).unwrap().schedule(7);
        for election in 0..20 {
            let befalls = plan.iter().any(|planned| planned.election == election);
            assert!(befalls, "nothing befalls {election}");
        }
    }
}
