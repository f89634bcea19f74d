//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::event::Event;
use super::path::Path;

/// Candidates on a Patroni cluster, and what befalls it.
///
/// Starts etcd and three members, each Patroni and PostgreSQL in a network namespace of its own, all of it in namespaces
/// that end with this command. For each event a whole cluster and three fresh candidates; then: the time until a primary
/// is writable again (Patroni's doing), from there until somebody leads (ours), whether two worked at once, whether terms
/// kept their order, what the old term's fence says on the new primary, and what became of a fenced transaction that was
/// open on the old one. At the end the cluster is made whole again, by pg_rewind where it must.
///
/// Needs root, for namespaces. scripts/ha installs the rest and calls this.
#[derive(Debug, Parser)]
#[command(
    name = "cargo ha",
    bin_name = "cargo ha",
    after_help = "EXIT STATUS\n  \
        0    every invariant held, or SKIPPED: something it needs is not here\n  \
        1    one did not: the table says which\n  \
        2    the command line is wrong, or the cluster did not do as told\n\n\
        EXAMPLES\n  \
        scripts/ha --quick                     switchover and a killed primary: two minutes\n  \
        scripts/ha --events frozen --repeat 5  one event, five times\n  \
        scripts/ha --paths haproxy --keep      by way of HAProxy; logs stay\n\n\
        ENVIRONMENT\n  \
        PG_LEADER_POSTGRES_BIN  the directory of the server's binaries; scripts/postgres finds or installs them\n"
)]
pub(super) struct Arguments {
    /// The ways by which candidates reach the primary.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "multi-host")]
    paths: Vec<Path>,

    /// What befalls the cluster. By default everything by multi-host, switchover and primary-killed by the others.
    #[arg(long, value_enum, value_delimiter = ',')]
    events: Vec<Event>,

    /// Each event so many times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) repeat: u32,

    /// Only switchover and primary-killed, by every path given.
    #[arg(long, conflicts_with = "events")]
    quick: bool,

    /// The lease, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(300..=60_000))]
    lease: u64,

    /// Leave the logs and say where. They stay also where an invariant broke.
    #[arg(long)]
    pub(super) keep: bool,

    /// Patroni; Debian's is /usr/bin/patroni.
    #[arg(
        long,
        env = "PG_LEADER_PATRONI",
        default_value = "target/ha/bin/patroni"
    )]
    pub(super) patroni: PathBuf,
}

impl Arguments {
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease)
    }

    pub(super) fn paths(&self) -> Vec<Path> {
        self.paths.clone()
    }

    pub(super) fn events(&self, path: Path) -> Vec<Event> {
        if !self.events.is_empty() {
            self.events.clone()
        } else if self.quick || path != Path::MultiHost {
            Event::QUICK.to_vec()
        } else {
            <Event as clap::ValueEnum>::value_variants().to_vec()
        }
    }
}
