//! The ways in which a term can end, how often each is tried, and what is asked of it.

use std::fmt;
use std::time::Duration;

use futures_util::future::try_join_all;
use pg_leader_lab::judge::Late;
use pg_leader_lab::proxy::Proxy;

use crate::lane::{Ending, Lane};
use crate::support::Result;
use crate::support::arguments::Arguments;
use crate::support::figures::{Distribution, Marks, milliseconds};
use crate::support::stage::Stage;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Where the clock starts; it stops at the start of the next leader's work.
    pub(crate) from: &'static str,
    ending: Ending,
    proxied: bool,
    /// Elections side by side.
    lanes: u32,
    /// Endings in each.
    count: u32,
    /// Whether it also tells when the followers knew.
    pub(crate) announces: bool,
    pub(crate) marks: &'static [Mark],
}

pub(crate) enum Mark {
    MedianUnder(Duration),
    P99Under(Duration),
    /// In percent of the lease.
    AtMost(u32),
}

const PLAIN: Scenario = Scenario {
    name: "",
    from: "the signal",
    ending: Ending::Orderly,
    proxied: false,
    lanes: 1,
    count: 0,
    announces: false,
    marks: &[],
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "orderly handover",
        from: "the end of the old work",
        count: 200,
        announces: true,
        marks: &[
            Mark::MedianUnder(Duration::from_millis(2)),
            Mark::P99Under(Duration::from_millis(10)),
        ],
        ..PLAIN
    },
    Scenario {
        name: "session of a live leader killed",
        from: "`pg_terminate_backend`",
        ending: Ending::KilledSession,
        count: 60,
        marks: &[Mark::MedianUnder(Duration::from_millis(25))],
        ..PLAIN
    },
    Scenario {
        name: "`kill -9`, direct",
        ending: Ending::KilledProcess,
        lanes: 2,
        count: 30,
        marks: &[Mark::MedianUnder(Duration::from_millis(60))],
        ..PLAIN
    },
    Scenario {
        name: "`kill -9`, through a proxy",
        ending: Ending::KilledProcess,
        proxied: true,
        lanes: 4,
        count: 15,
        marks: &[Mark::AtMost(115)],
        ..PLAIN
    },
    Scenario {
        name: "SIGSTOP, direct",
        ending: Ending::StoppedProcess,
        lanes: 4,
        count: 15,
        marks: &[Mark::AtMost(120)],
        ..PLAIN
    },
    Scenario {
        name: "SIGSTOP, through a proxy",
        ending: Ending::StoppedProcess,
        proxied: true,
        lanes: 4,
        count: 15,
        marks: &[Mark::AtMost(120)],
        ..PLAIN
    },
];

/// Told beside the endings of a scenario.
pub(crate) const ADDRESS: Scenario = Scenario {
    name: "its address known to a follower",
    from: "the start of the new work",
    marks: &[Mark::MedianUnder(Duration::from_millis(2))],
    ..PLAIN
};

/// Steps that a stop had cut in two and that were done when another's term had begun.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) count: usize,
    /// How far into that term the last one went.
    pub(crate) most: Duration,
}

impl Cut {
    pub(crate) fn of(late: &[Late]) -> Cut {
        let most = late.iter().map(|late| late.into_the_other).max();
        Cut {
            count: late.len(),
            most: most.unwrap_or_default(),
        }
    }

    pub(crate) fn and(self, other: Cut) -> Cut {
        Cut {
            count: self.count + other.count,
            most: self.most.max(other.most),
        }
    }
}

#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) gaps: Vec<Duration>,
    pub(crate) announced: Vec<Duration>,
    pub(crate) overlaps: u64,
    pub(crate) cut: Cut,
}

impl Scenario {
    pub(crate) async fn run(&self, stage: &Stage, arguments: &Arguments) -> Result<Measured> {
        let lanes = if arguments.quick { 1 } else { self.lanes };
        let count = arguments.part_of(self.count);
        let lanes = (0..lanes).map(async |number| -> Result<Measured> {
            let proxy = match self.proxied {
                true => Some(Proxy::start(stage.cluster.port()).await),
                false => None,
            };
            let direct = stage.cluster.url();
            let conninfo = proxy.as_ref().map_or(direct, Proxy::superuser_url);
            let election = format!("{} {number}", self.name);
            let mut lane = Lane::start(stage, &election, &conninfo, arguments.lease)?;
            let mut gaps = vec![];
            for _ in 0..count {
                gaps.push(lane.end(self.ending).await?);
            }
            lane.finish(gaps).await
        });
        let measured = try_join_all(lanes).await?;
        Ok(measured
            .into_iter()
            .fold(Measured::default(), |mut all, lane| {
                all.gaps.extend(lane.gaps);
                all.announced.extend(lane.announced);
                all.overlaps += lane.overlaps;
                all.cut = all.cut.and(lane.cut);
                all
            }))
    }
}

impl Mark {
    pub(crate) fn judge(
        &self,
        of: &str,
        gaps: &Distribution,
        lease: Duration,
        marks: &mut Marks,
    ) -> String {
        let (figure, limit) = match self {
            Mark::MedianUnder(limit) => (gaps.median(), *limit),
            // It would be the maximum.
            Mark::P99Under(_) if gaps.count() < 100 => return format!("{self}: too few"),
            Mark::P99Under(limit) => (gaps.percentile(99), *limit),
            Mark::AtMost(percent) => (gaps.max(), lease * *percent / 100),
        };
        marks.judge(
            of,
            &self.to_string(),
            milliseconds(figure),
            milliseconds(limit),
        )
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::MedianUnder(limit) => write!(f, "median < {limit:?}"),
            Mark::P99Under(limit) => write!(f, "p99 < {limit:?}"),
            Mark::AtMost(percent) => write!(f, "max ≤ {} leases", f64::from(*percent) / 100.0),
        }
    }
}
