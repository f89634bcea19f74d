//! The cluster: etcd and three members, made whole again after each event.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pg_leader::Elector;
use rustix::process::Signal;
use serde_json::json;

use super::daemon::{Daemon, USER};
use super::member::Member;
use super::rest::Standing;
use super::{Arguments, enclosure, etcd, questions, rest};
use crate::{Result, candidate};

/// A rewind takes ten seconds, and the leader key twenty to expire.
const PATIENCE: Duration = Duration::from_secs(120);

const LOOKS: Duration = Duration::from_millis(200);

pub(super) struct Cluster {
    pub(super) members: Vec<Member>,
    pub(super) etcd: Daemon,
    directory: PathBuf,
    version: String,
    keep: bool,
}

impl Cluster {
    /// Whole, with the schema.
    pub(super) async fn start(arguments: &Arguments) -> Result<Cluster> {
        let patroni = arguments.patroni.canonicalize()?;
        let output = std::process::Command::new(&patroni)
            .arg("--version")
            .output()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let binaries = enclosure::binaries()?;
        let directory = std::env::temp_dir().join(format!("pg-leader-ha-{}", fastrand::u32(..)));
        enclosure::run(
            "install",
            &format!("-d -o {USER} -m 755 {}", directory.display()),
        )?;
        let etcd = etcd::start(&directory)?;
        let start = |number| Member::start(number, &directory, &patroni, binaries.directory());
        let members = (1..=3).map(start).collect::<Result<Vec<_>>>()?;
        let cluster = Cluster {
            members,
            etcd,
            version: format!("PostgreSQL {}, {version}, etcd", binaries.version()),
            directory,
            keep: arguments.keep,
        };
        let primary = cluster.until_whole().await?;
        let elector = Elector::connect(cluster.members[primary].url()).await?;
        elector.shutdown().await;
        questions::execute(&cluster.members[primary].url(), candidate::TABLE).await?;
        questions::execute(&cluster.members[primary].url(), super::sight::TABLE).await?;
        Ok(cluster)
    }

    pub(super) fn describe(&self) -> String {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        format!("{}, {processors} processors", self.version)
    }

    /// Of the logs.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of the logs, which stays.
    pub(super) fn keep(&mut self) -> &Path {
        self.keep = true;
        &self.directory
    }

    /// Beside the logs.
    pub(super) fn note(&self, text: &str) -> Result<()> {
        let trials = self.directory.join("trials.txt");
        let mut trials = File::options().create(true).append(true).open(trials)?;
        Ok(trials.write_all(text.as_bytes())?)
    }

    /// For candidates that find the primary by themselves.
    pub(super) fn conninfo(&self, order: &[usize]) -> String {
        let hosts: Vec<&str> = order
            .iter()
            .map(|index| &*self.members[*index].address)
            .collect();
        format!(
            "host={} port=5432 user=postgres dbname=postgres connect_timeout=2 target_session_attrs=read-write",
            hosts.join(",")
        )
    }

    /// One primary, and two that follow it closely: which is the primary.
    pub(super) async fn until_whole(&self) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.standing().await;
            if let Some(primary) = self.whole(&seen) {
                return Ok(primary);
            }
            if Instant::now() > deadline {
                return Err(
                    format!("the cluster is not whole after {PATIENCE:?}: {seen:?}").into(),
                );
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// Which member Patroni says is the primary, though others be missing.
    pub(super) async fn primary(&self) -> Result<usize> {
        self.until_led(|_| true).await
    }

    pub(super) async fn until_led_by_another(&self, old: usize) -> Result<usize> {
        self.until_led(|index| index != old).await
    }

    async fn until_led(&self, wanted: impl Fn(usize) -> bool) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.standing().await;
            let leads = |name: &str| {
                seen.iter()
                    .any(|member| member.leads() && member.name == name)
            };
            let found = self.members.iter().position(|member| leads(&member.name));
            if let Some(index) = found.filter(|index| wanted(*index)) {
                return Ok(index);
            }
            if Instant::now() > deadline {
                return Err(format!("no such primary after {PATIENCE:?}: {seen:?}").into());
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    async fn standing(&self) -> Vec<Standing> {
        for member in &self.members {
            if let Ok(seen) = rest::members(&member.address).await {
                return seen;
            }
        }
        vec![]
    }

    fn whole(&self, seen: &[Standing]) -> Option<usize> {
        let leader = seen.iter().find(|member| member.leads())?;
        let follow = seen.iter().filter(|member| member.follows()).count();
        let mut names = self.members.iter().map(|member| &member.name);
        let index = names.position(|name| *name == leader.name)?;
        (follow + 1 == self.members.len()).then_some(index)
    }

    /// Synchronous mode, or none. Returns once Patroni has chosen a standby.
    pub(super) async fn synchronous(&self, on: bool) -> Result<()> {
        let primary = self.until_whole().await?;
        let change = json!({"synchronous_mode": on});
        rest::configure(&self.members[primary].address, &change).await?;
        let deadline = Instant::now() + PATIENCE;
        while on
            && !self
                .standing()
                .await
                .iter()
                .any(|member| member.role == "sync_standby")
        {
            if Instant::now() > deadline {
                return Err("no standby becomes synchronous".into());
            }
            tokio::time::sleep(LOOKS).await;
        }
        Ok(())
    }

    /// Undo whatever has befallen it: which is the primary then.
    pub(super) async fn heal(&mut self) -> Result<usize> {
        self.etcd.signal(Signal::CONT);
        for member in &mut self.members {
            member.thaw()?;
            member.link("up")?;
            member.rule("-F")?;
            member.revive()?;
        }
        self.until_whole().await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.thaw();
            member.kill_patroni();
            let _ = member.kill_server();
        }
        self.etcd.kill();
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
