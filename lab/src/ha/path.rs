//! The ways by which candidates reach the primary.

use std::path::Path as File;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::cluster::Cluster;
use super::daemon::Daemon;
use super::enclosure::OUTSIDE;
use super::rest;
use crate::Result;

const HAPROXY: u16 = 5000;
const PGBOUNCER: u16 = 6432;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Path {
    /// A string that names all members, the same for all candidates.
    MultiHost,
    /// HAProxy, which asks Patroni who is the primary.
    Haproxy,
    /// PgBouncer in session mode, before HAProxy.
    Pgbouncer,
}

/// What stands between: killed when dropped.
pub(super) struct Way {
    _daemons: Vec<Daemon>,
}

impl Path {
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// That it needs.
    pub(super) fn program(self) -> Option<&'static str> {
        match self {
            Path::MultiHost => None,
            Path::Haproxy => Some("haproxy"),
            Path::Pgbouncer => Some("pgbouncer"),
        }
    }

    pub(super) fn conninfo(self, cluster: &Cluster) -> String {
        let by = |port: u16| {
            format!("host={OUTSIDE} port={port} user=postgres dbname=postgres connect_timeout=2")
        };
        match self {
            Path::MultiHost => cluster.conninfo(&[0, 1, 2]),
            Path::Haproxy => by(HAPROXY),
            Path::Pgbouncer => by(PGBOUNCER),
        }
    }

    /// Start what stands between, and wait until it leads to the primary.
    pub(super) async fn open(self, cluster: &Cluster) -> Result<Way> {
        let directory = cluster.directory();
        let mut daemons = vec![];
        if self != Path::MultiHost {
            let text = haproxy(cluster);
            daemons.push(serve("haproxy", &["-db", "-f"], "cfg", &text, directory)?);
        }
        if self == Path::Pgbouncer {
            daemons.push(serve("pgbouncer", &[], "ini", &pgbouncer(), directory)?);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = super::questions::ask(&self.conninfo(cluster), "SELECT 1").await {
            if Instant::now() > deadline {
                return Err(format!("{} leads nowhere: {error}", self.name()).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Way { _daemons: daemons })
    }
}

fn serve(
    program: &str,
    arguments: &[&str],
    ending: &str,
    text: &str,
    directory: &File,
) -> Result<Daemon> {
    let file = directory.join(format!("{program}.{ending}"));
    std::fs::write(&file, text)?;
    let mut arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
    arguments.push(file.display().to_string());
    let log = directory.join(format!("{program}.log"));
    Daemon::start(None, File::new(program), &arguments, &log)
}

/// The recipe of docs/high-availability.md.
fn haproxy(cluster: &Cluster) -> String {
    let mut text = format!(
        "defaults\n    mode tcp\n    retries 0\n    timeout connect 1s\n    timeout check 1s\n    \
         timeout client 1d\n    timeout server 1d\n\
         listen primary\n    bind {OUTSIDE}:{HAPROXY}\n    option httpchk OPTIONS /primary\n    \
         http-check expect status 200\n    \
         default-server inter 500ms rise 1 fall 2 on-marked-down shutdown-sessions\n"
    );
    for member in &cluster.members {
        let (name, address, port) = (&member.name, &member.address, rest::PORT);
        text.push_str(&format!(
            "    server {name} {address}:5432 check port {port}\n"
        ));
    }
    text
}

fn pgbouncer() -> String {
    format!(
        "[databases]\npostgres = host={OUTSIDE} port={HAPROXY} user=postgres\n\
         [pgbouncer]\nlisten_addr = {OUTSIDE}\nlisten_port = {PGBOUNCER}\nauth_type = any\nunix_socket_dir =\n\
         pool_mode = session\nserver_login_retry = 1\nignore_startup_parameters = options\n"
    )
}
