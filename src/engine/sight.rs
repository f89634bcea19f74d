//! What hosts of the connection string were seen to be, and which of them comes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A running server, whatever its host is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Server {
    /// `None`: it does not tell.
    pub(crate) system: Option<i64>,
    /// When it was started, by its own clock; only ever compared with that of copies of the same cluster.
    pub(crate) started: i64,
}

/// What a host was seen to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sight {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) standby: bool,
    pub(crate) read_only: bool,
    /// `None`: it does not tell.
    pub(crate) timeline: Option<i64>,
    /// `None`: it could not be found out.
    pub(crate) held: Option<Led>,
}

/// What is led on a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Led {
    /// Of the elections that were asked for.
    pub(crate) elections: BTreeSet<String>,
    /// None were asked for, and some election is led there.
    pub(crate) any: bool,
}

/// What a look at all hosts brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Survey {
    pub(crate) sights: Vec<Sight>,
    pub(crate) missed: Vec<Missed>,
}

/// A host that told nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Missed {
    pub(crate) name: String,
    /// Nobody listens there.
    pub(crate) refuses: bool,
}

/// What a session looks for when it connects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Search {
    /// Those that the process takes part in.
    pub(crate) elections: Vec<String>,
    /// The host that it has left another one for: it gets all the time that there is.
    pub(crate) wanted: Option<String>,
}

/// The host of a session, where the connection string names several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Surroundings {
    pub(crate) own: Sight,
    /// What was seen before it was taken.
    pub(crate) survey: Survey,
}

impl Sight {
    pub(crate) fn writable(&self) -> bool {
        !self.standby && !self.read_only
    }

    /// Whether both are copies of one cluster that accept writes, and not one server under two names. Two that do
    /// not tell what they are copies of are of different clusters.
    pub(crate) fn rivals(&self, other: &Sight) -> bool {
        self.writable()
            && other.writable()
            && self.server.system.is_some()
            && self.server.system == other.server.system
            && self.server != other.server
    }

    fn is_led(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.any || !held.elections.is_empty())
    }

    /// Of those that are rivals the greatest is taken, by every process alike: the newest timeline (one that is
    /// not told counts as older than any), then where the election is led, then the one that has run longest.
    ///
    /// Hazard: names come last, for two strings may call a host differently. If they came first, two leaders
    /// whose strings name the hosts in their own words would each stay where it is, for ever.
    pub(crate) fn rank(&self) -> impl Ord + use<> {
        let since = Reverse(self.server.started);
        (
            self.timeline,
            self.is_led(),
            since,
            Reverse(self.name.clone()),
        )
    }
}

/// The places of those to connect to, the best first: one of each cluster that accepts writes, in the order of the string.
pub(crate) fn best(sights: &[(usize, Sight)]) -> Vec<usize> {
    let mut best: Vec<&(usize, Sight)> = vec![];
    for seen in sights.iter().filter(|(_, sight)| sight.writable()) {
        let (_, sight) = seen;
        let same = |(_, other): &&mut &(usize, Sight)| {
            let both = (sight.server.system, other.server.system);
            sight.server == other.server || matches!(both, (Some(one), Some(two)) if one == two)
        };
        match best.iter_mut().find(same) {
            Some(other) if sight.rank() > other.1.rank() => *other = seen,
            Some(_) => {}
            None => best.push(seen),
        }
    }
    best.into_iter().map(|(index, _)| *index).collect()
}
