//! What the command line says.

use std::time::Duration;

pub(crate) const USAGE: &str =
    "cargo bench -p pg-leader-lab --bench failover|fence|many|steady -- [--check | --quick] [--lease MS] [--fsync] [--only WORD]
  --check     a fifth of it: whether the marks are met, and no more
  --quick     a few endings, a short window: shows that it works, measures little and judges nothing
  --lease MS  the lease in milliseconds; default 1000, with --quick 400
  --fsync     the server waits for its disk, as a server in earnest does
  --only WORD what has WORD in its name";

#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) quick: bool,
    pub(crate) check: bool,
    pub(crate) lease: Duration,
    pub(crate) fsync: bool,
    pub(crate) only: Option<String>,
}

impl Arguments {
    /// `None`: asked to list tests, of which there are none.
    pub(crate) fn parse() -> Result<Option<Arguments>, String> {
        let mut words = std::env::args().skip(1);
        // `cargo bench` says so; without it `cargo test` wants to know whether this works at all.
        let mut bench = false;
        let (mut quick, mut check, mut fsync) = (false, false, false);
        let (mut lease, mut only) = (None, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => bench = true,
                "--quick" => quick = true,
                "--check" => check = true,
                "--fsync" => fsync = true,
                "--list" => return Ok(None),
                "--lease" => lease = words.next().and_then(|word| word.parse().ok()),
                "--only" => only = words.next(),
                _ => return Err(format!("{word}?\n{USAGE}")),
            }
        }
        let quick = quick || !bench;
        let default = if quick { 400 } else { 1000 };
        Ok(Some(Arguments {
            quick,
            check: check && !quick,
            lease: Duration::from_millis(lease.unwrap_or(default)),
            fsync,
            only,
        }))
    }

    /// Of what is measured one after the other, so many.
    pub(crate) fn part_of(&self, all: u32) -> u32 {
        match (self.quick, self.check) {
            (true, _) => 2 + all / 20,
            (_, true) => all.div_ceil(5),
            _ => all,
        }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|word| name.contains(word))
    }
}
