//! A member: Patroni and its PostgreSQL, in a network namespace of the same name.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use super::daemon::{Daemon, signal_all};
use super::{enclosure, settings};
use crate::Result;

/// One of three.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) address: String,
    directory: PathBuf,
    patroni: PathBuf,
    daemon: Option<Daemon>,
}

impl Member {
    pub(super) fn start(
        number: usize,
        directory: &Path,
        patroni: &Path,
        binaries: &Path,
    ) -> Result<Member> {
        let name = format!("m{number}");
        let address = format!("10.99.0.{}", 10 + number);
        let own = directory.join(&name);
        enclosure::add(&name, &address)?;
        enclosure::in_memory(&own)?;
        let text = settings::of(&name, &address, &own, binaries);
        std::fs::write(directory.join(format!("{name}.yml")), text)?;
        let mut member = Member {
            name,
            address,
            directory: own,
            patroni: patroni.to_owned(),
            daemon: None,
        };
        member.revive()?;
        Ok(member)
    }

    /// The namespace has no route of another kind, so both ends of a connection are the ones that the server sees.
    pub(super) fn url(&self) -> String {
        format!(
            "postgres://postgres@{}:5432/postgres?connect_timeout=1",
            self.address
        )
    }

    /// Patroni runs again, where it does not.
    pub(super) fn revive(&mut self) -> Result<()> {
        if self
            .daemon
            .as_mut()
            .is_some_and(|daemon| !daemon.has_ended())
        {
            return Ok(());
        }
        let beside = |ending: &str| self.directory.with_extension(ending);
        let settings = beside("yml").display().to_string();
        let daemon = Daemon::start(Some(&self.name), &self.patroni, &[settings], &beside("log"))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    pub(super) fn kill_patroni(&mut self) {
        self.daemon = None;
    }

    /// `kill -9` of all that is PostgreSQL.
    pub(super) fn kill_server(&self) -> Result<()> {
        let mut all = enclosure::processes(&self.name)?;
        all.retain(|pid| is_of_the_server(*pid));
        signal_all(&all, Signal::KILL);
        Ok(())
    }

    /// SIGSTOP to everything that runs there, also to what is started meanwhile.
    pub(super) fn freeze(&self) -> Result<()> {
        let mut known = 0;
        loop {
            let all = enclosure::processes(&self.name)?;
            signal_all(&all, Signal::STOP);
            if all.len() == known {
                return Ok(());
            }
            known = all.len();
        }
    }

    pub(super) fn thaw(&self) -> Result<()> {
        signal_all(&enclosure::processes(&self.name)?, Signal::CONT);
        Ok(())
    }

    /// Its end of the cable: carrier is lost.
    pub(super) fn link(&self, state: &str) -> Result<()> {
        enclosure::ip(&format!("link set {} {state}", self.name))
    }

    /// A rule of iptables in its namespace.
    pub(super) fn rule(&self, rule: &str) -> Result<()> {
        enclosure::ip(&format!("netns exec {} iptables {rule}", self.name))
    }
}

fn is_of_the_server(pid: i32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    name.is_ok_and(|name| name.trim() == "postgres")
}
