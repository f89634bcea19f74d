//! Hosts that accept writes beside the one that a process is connected to, as they were last seen.
//!
//! This memory outlives sessions: a rival that is not seen any more may still be there. It is taken for held then,
//! and not for ever: one that said nothing for a retry interval, or for a lease if that is longer, holds up nobody,
//! and of one that refuses connections all sessions have ended, so that its last work is over within a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::connection::hosts::{Round, Search};
use crate::connection::sight::{Led, Server, Sight};
use crate::engine::{Instant, Timings};

#[derive(Debug, Default)]
pub(crate) struct Rivals {
    /// The server of the session, or of the last one.
    own: Option<Sight>,
    seen: BTreeMap<Server, Rival>,
    /// The host that the last session was given up for.
    wanted: Option<String>,
}

#[derive(Debug)]
struct Rival {
    sight: Sight,
    /// So long it counts, although it does not answer or what it holds cannot be found out.
    until: Instant,
    /// At the last look.
    answers: bool,
    /// It refuses connections, or another server has its place.
    gone: bool,
}

impl Rivals {
    pub(crate) fn own(&self) -> Option<&Sight> {
        self.own.as_ref()
    }

    /// A session has begun on `own`, after `round`.
    pub(crate) fn arrived(&mut self, now: Instant, timings: &Timings, own: Sight, round: &Round) {
        let contested = self.is_contested(now);
        let before = self.own.replace(own);
        if let Some(before) = before.filter(|_| contested) {
            let until = now + patience(timings);
            let sight = Sight {
                held: None,
                ..before
            };
            let rival = Rival {
                sight,
                until,
                answers: false,
                gone: false,
            };
            self.seen.entry(rival.sight.server).or_insert(rival);
        }
        self.wanted = None;
        self.note(now, timings, round, &BTreeSet::new());
    }

    /// Take note of a look. `leads`: the elections that this process leads on its own server.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        timings: &Timings,
        round: &Round,
        leads: &BTreeSet<String>,
    ) {
        let Some(own) = &mut self.own else { return };
        if let Some(sight) = round.all().find(|sight| sight.server == own.server) {
            *own = sight.clone();
        }
        // It may have been looked at before that.
        let held = own.held.get_or_insert_default();
        held.elections.extend(leads.iter().cloned());
        for rival in self.seen.values_mut() {
            rival.missed(now, timings, round);
        }
        for sight in round.all() {
            if !own.rivals(sight) {
                self.seen.remove(&sight.server);
                continue;
            }
            let until = now + patience(timings);
            let rival = self.seen.entry(sight.server).or_insert(Rival {
                sight: sight.clone(),
                until,
                answers: true,
                gone: false,
            });
            rival.sight = sight.clone();
            (rival.answers, rival.gone) = (true, false);
            if sight.held.is_some() {
                rival.until = until;
            }
        }
        // One that does not answer and is not gone stays: else it would be waited for again when it comes back.
        self.seen
            .retain(|_, rival| now < rival.until || rival.answers || !rival.gone);
    }

    /// The one to leave this server for.
    pub(crate) fn better(&self) -> Option<&Sight> {
        let own = self.own.as_ref()?;
        let rivals = self.seen.values().filter(|rival| rival.answers);
        let best = rivals
            .map(|rival| &rival.sight)
            .max_by_key(|one| one.rank())?;
        (best.rank() > own.rank()).then_some(best)
    }

    /// The session is given up for a better one.
    pub(crate) fn want(&mut self, name: String) {
        self.wanted = Some(name);
    }

    pub(crate) fn known(&self, elections: Vec<String>) -> Search {
        Search {
            elections,
            wanted: self.wanted.clone(),
        }
    }

    /// Those that count.
    pub(crate) fn all(&self, now: Instant) -> impl Iterator<Item = &Sight> {
        let counts = move |rival: &&Rival| rival.answers || now < rival.until;
        let rivals = self.seen.values().filter(counts);
        rivals.map(|rival| &rival.sight)
    }

    pub(crate) fn is_contested(&self, now: Instant) -> bool {
        self.all(now).next().is_some()
    }

    /// Whether the leadership of this election is, or may be, held on another.
    pub(crate) fn is_held(&self, now: Instant, election: &str) -> bool {
        let holds = |held: &Led| held.elections.contains(election);
        self.seen
            .values()
            .filter(|rival| now < rival.until)
            .any(|rival| rival.sight.held.as_ref().is_none_or(holds))
    }
}

impl Rival {
    /// A look, if it was missing there.
    fn missed(&mut self, now: Instant, timings: &Timings, round: &Round) {
        let name = &self.sight.name;
        let failure = round.failures.iter().find(|(_, failed, _)| failed == name);
        let silent = round.silent.iter().any(|(_, silent)| silent == name);
        let replaced = round
            .all()
            .any(|sight| sight.name == *name && sight.server != self.sight.server);
        if failure.is_none() && !silent && !replaced {
            return;
        }
        self.answers = false;
        self.sight.held = None;
        let refused = failure.is_some_and(|(_, _, error)| error.is_refusal());
        if (refused || replaced) && !self.gone {
            self.gone = true;
            self.until = now + timings.lease;
        }
    }
}

fn patience(timings: &Timings) -> Duration {
    timings.retry_interval.max(timings.lease)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::hosts::tests::{nameless, sight};
    use crate::error::{Error, Kind};

    const LEASE: Duration = Duration::from_secs(1);
    const RETRY: Duration = Duration::from_secs(5);

    struct Bench {
        now: Instant,
        timings: Timings,
        rivals: Rivals,
    }

    impl Bench {
        fn on(own: Sight) -> Bench {
            let timings = Timings::new(LEASE, RETRY, LEASE).unwrap();
            let (now, mut rivals) = (Instant::from_nanos(1), Rivals::default());
            rivals.arrived(now, &timings, own, &Round::default());
            Bench {
                now,
                timings,
                rivals,
            }
        }

        fn note(&mut self, round: &Round) {
            let leads = BTreeSet::new();
            self.rivals.note(self.now, &self.timings, round, &leads);
        }

        fn holds(&self) -> [bool; 2] {
            let contested = self.rivals.is_contested(self.now);
            [contested, self.rivals.is_held(self.now, "e")]
        }
    }

    fn sees(sights: &[Sight]) -> Round {
        Round {
            sights: sights.iter().cloned().enumerate().collect(),
            ..Round::default()
        }
    }

    fn unknown(sight: Sight) -> Sight {
        Sight {
            held: None,
            ..sight
        }
    }

    fn silence(name: &str) -> Round {
        Round {
            silent: vec![(1, name.to_owned())],
            ..Round::default()
        }
    }

    fn failure(name: &str, kind: std::io::ErrorKind) -> Round {
        let why = Kind::Unreachable("as it may be".to_owned());
        let error = Error::caused(why, std::io::Error::from(kind));
        Round {
            failures: vec![(1, name.to_owned(), error)],
            ..Round::default()
        }
    }

    #[test]
    fn what_cannot_be_found_out_counts_as_held_for_a_while() {
        let mut bench = Bench::on(sight("a", 1, 2, false));
        bench.note(&sees(&[sight("b", 2, 1, false)]));
        assert_eq!(bench.holds(), [true, false]);
        for round in [
            sees(&[unknown(sight("b", 2, 1, false))]),
            silence("b"),
            failure("b", std::io::ErrorKind::TimedOut),
        ] {
            bench.note(&sees(&[sight("b", 2, 1, false)]));
            bench.note(&round);
            assert_eq!(bench.holds(), [true, true], "{round:?}");
        }
        // It is not asked for ever, and its coming back does not begin it again.
        bench.now += RETRY;
        bench.note(&silence("b"));
        assert_eq!(bench.holds(), [false, false]);
        bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
        assert_eq!(bench.holds(), [true, false]);
        bench.note(&sees(&[sight("b", 2, 1, true)]));
        assert_eq!(bench.holds(), [true, true]);
        bench.note(&sees(&[sight("b", 2, 1, false)]));
        assert_eq!(bench.holds(), [true, false]);
    }

    #[test]
    fn the_first_sight_may_be_of_one_that_cannot_be_asked() {
        let mut bench = Bench::on(sight("a", 1, 2, false));
        for _ in 0..5 {
            bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
            assert_eq!(bench.holds(), [true, true]);
            bench.now += LEASE;
        }
        bench.note(&sees(&[unknown(sight("b", 2, 1, false))]));
        assert_eq!(bench.holds(), [true, false]);
    }

    #[test]
    fn of_one_that_refuses_all_is_over_within_a_lease() {
        let mut bench = Bench::on(sight("a", 1, 2, false));
        for round in [
            failure("b", std::io::ErrorKind::ConnectionRefused),
            // It was started anew.
            sees(&[unknown(sight("b", 9, 1, false))]),
        ] {
            bench.note(&sees(&[sight("b", 2, 1, true)]));
            bench.note(&round);
            bench.now += LEASE / 2;
            bench.note(&failure("b", std::io::ErrorKind::ConnectionRefused));
            assert_eq!(bench.holds(), [true, true]);
            bench.now += LEASE;
            assert_eq!(bench.holds(), [false, false]);
        }
    }

    #[test]
    fn a_standby_holds_up_nobody() {
        let mut bench = Bench::on(sight("a", 1, 2, false));
        bench.note(&sees(&[sight("b", 2, 1, true)]));
        let standby = Sight {
            standby: true,
            ..sight("b", 2, 1, true)
        };
        bench.note(&sees(&[standby]));
        assert_eq!(bench.holds(), [false, false]);
    }

    /// It leaves the lower, and cannot get to the higher.
    #[test]
    fn a_silent_rival_outlives_the_session() {
        let (low, high) = (sight("low", 1, 1, true), sight("high", 2, 2, false));
        let mut bench = Bench::on(low.clone());
        bench.note(&sees(&[low.clone(), high.clone()]));
        assert_eq!(bench.rivals.better(), Some(&high));
        bench.rivals.want("high".to_owned());
        assert_eq!(bench.rivals.known(vec![]).wanted.as_deref(), Some("high"));
        let back = Round {
            sights: vec![(0, low.clone())],
            ..silence("high")
        };
        let (now, timings) = (bench.now, bench.timings.clone());
        bench.rivals.arrived(now, &timings, low.clone(), &back);
        assert_eq!(bench.holds(), [true, true]);
        assert_eq!(bench.rivals.known(vec![]).wanted, None);
        bench.now += RETRY;
        bench.note(&back);
        assert_eq!(bench.holds(), [false, false]);
    }

    /// Where several accept writes, the server of a session that was lost is one of them.
    #[test]
    fn the_server_that_was_lost_is_a_rival() {
        let (low, high) = (sight("low", 1, 1, false), sight("high", 2, 2, true));
        for contested in [false, true] {
            let mut bench = Bench::on(high.clone());
            if contested {
                bench.note(&sees(&[low.clone(), high.clone()]));
            }
            let (now, timings) = (bench.now, bench.timings.clone());
            let round = sees(std::slice::from_ref(&low));
            bench.rivals.arrived(now, &timings, low.clone(), &round);
            assert_eq!(bench.holds(), [contested, contested]);
        }
    }

    /// The sight of its own server is older than its term.
    #[test]
    fn who_leads_does_not_leave_for_a_leader_on_the_same_timeline() {
        let (own, other) = (sight("own", 1, 1, false), sight("other", 2, 1, true));
        let mut bench = Bench::on(own);
        let leads = BTreeSet::from(["e".to_owned()]);
        let round = sees(std::slice::from_ref(&other));
        bench.rivals.note(bench.now, &bench.timings, &round, &leads);
        assert_eq!(bench.rivals.better(), None);
        let mut bench = Bench::on(sight("own", 1, 1, false));
        bench.note(&round);
        assert_eq!(bench.rivals.better(), Some(&other));
    }

    #[test]
    fn of_a_cluster_without_a_name_nobody_is_a_rival() {
        let mut bench = Bench::on(nameless(sight("a", 1, 1, false)));
        bench.note(&sees(&[nameless(sight("b", 2, 2, true))]));
        assert_eq!(bench.holds(), [false, false]);
        assert_eq!(bench.rivals.better(), None);
    }
}
