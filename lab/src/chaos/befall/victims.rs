//! Whom a fault befalls.

use crate::chaos::conductor::Conductor;
use crate::chaos::crew::{Path, Place};
use crate::chaos::database;
use crate::chaos::judge::history::Kind;
use crate::chaos::plan::{DIRECT, Planned, Target};

impl Conductor {
    /// Who leads, and whom a fault befalls: whom it is meant for, or the next one that is fit for it.
    pub(super) fn victims(&self, planned: &Planned) -> (Option<String>, Option<usize>) {
        let (leader, successor) = self.standing(planned);
        let meant = self.meant(planned, leader.as_deref(), successor.as_deref());
        let count = self.crew.places.len();
        let meant = meant.and_then(|name| self.crew.find(name));
        let first = match (meant, planned.target) {
            (Some(place), _) | (None, Target::Place(place)) => place,
            _ => planned.at.as_millis() as usize % count,
        };
        let leads = |place: &Place| {
            let of = |name| self.crew.find(name) == Some(place.number);
            leader.as_deref().is_some_and(of)
        };
        let fit = |place: &usize| {
            let place = &self.crew.places[*place];
            is_fit(planned.kind, place, leads(place))
        };
        let victim = (0..count).map(|step| (first + step) % count).find(fit);
        let lives = |place: &usize| self.crew.places[*place].process.is_some();
        let victim = victim.filter(lives);
        (leader, victim)
    }

    /// Leader and successor of the election that it is for.
    fn standing(&self, planned: &Planned) -> (Option<String>, Option<String>) {
        let elections = &self.crew.elections;
        let standing = database::standing(&self.stage, &elections[planned.election]);
        // Of the two leaders the one where it tells more: nobody waits for what is direct.
        if planned.kind == Kind::DriverPanic && planned.target == Target::Leader {
            let other = (planned.election + 1) % elections.len();
            let other = database::standing(&self.stage, &elections[other]);
            if !self.tells_more(standing.0.as_deref()) && self.tells_more(other.0.as_deref()) {
                return other;
            }
        }
        standing
    }

    fn meant<'a>(
        &'a self,
        planned: &Planned,
        leader: Option<&'a str>,
        successor: Option<&'a str>,
    ) -> Option<&'a str> {
        match planned.kind {
            // Operators and orders reach the leader, whoever that is.
            Kind::StepDown | Kind::Depose | Kind::Resign | Kind::FailedWork => leader,
            // To somebody else; of direct ones it goes to one where more is told.
            Kind::Transfer => match planned.target {
                Target::Place(place) if DIRECT.contains(&place) => {
                    let places = DIRECT.iter().map(|place| &self.crew.places[*place]);
                    let mut names = places.filter_map(|place| Some(&*place.process.as_ref()?.name));
                    names.find(|name| self.tells_more(Some(name)) && leader != Some(name))
                }
                Target::Place(_) => None,
                _ => successor,
            },
            _ => match planned.target {
                Target::Leader => leader,
                Target::Successor => successor,
                Target::Place(_) => None,
            },
        }
    }

    /// Whether the end of its session is believed while its work takes its time.
    fn tells_more(&self, name: Option<&str>) -> bool {
        let place = name.and_then(|name| self.crew.find(name));
        place.is_some_and(|place| {
            let place = &self.crew.places[place];
            place.path.is_direct() && place.takes_its_time && place.is_free()
        })
    }
}

fn is_fit(kind: Kind, place: &Place, leads: bool) -> bool {
    match kind {
        Kind::CutBoth
        | Kind::CutToServer
        | Kind::CutToClient
        | Kind::KilledWhileCut
        | Kind::SlowNetwork => matches!(place.path, Path::Proxied(_)) && !place.hindered,
        Kind::ResetConnections => matches!(place.path, Path::Proxied(_)),
        Kind::KilledRelay => {
            place.path == Path::Relayed && place.process.is_some() && !place.hindered
        }
        Kind::Transfer => place.is_free() && !leads,
        // A process that hangs can be killed, and its session too.
        Kind::KilledProcess => place
            .process
            .as_ref()
            .is_some_and(|process| process.ending.is_none()),
        Kind::KilledSession | Kind::StepDown | Kind::Depose => place.process.is_some(),
        _ => place.is_free(),
    }
}
