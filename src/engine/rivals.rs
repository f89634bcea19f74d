//! Hosts that accept writes beside the one that a process is connected to, as they were last seen.
//!
//! This memory outlives sessions: a rival that is not seen any more may still be there. It is taken for held then,
//! and not for ever: one that said nothing for a retry interval, or for a lease if that is longer, holds up nobody,
//! and of one that refuses connections all sessions have ended, so that its last work is over within a lease.

use std::collections::{BTreeMap, BTreeSet};

use super::{Instant, Led, Server, Sight, Survey, Timings};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Rivals {
    /// The server of the session, or of the last one.
    own: Option<Sight>,
    seen: BTreeMap<Server, Rival>,
    /// The host that the last session was given up for.
    wanted: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    pub(super) fn own(&self) -> Option<&Sight> {
        self.own.as_ref()
    }

    /// A session has begun on `own`, after `survey`.
    pub(super) fn arrived(&mut self, now: Instant, timings: &Timings, own: Sight, survey: &Survey) {
        let contested = self.is_contested(now);
        let before = self.own.replace(own);
        if let Some(before) = before.filter(|_| contested) {
            let until = now + timings.unknown_rival();
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
        self.note(now, timings, survey, &BTreeSet::new());
    }

    /// Take note of a look. `leads`: the elections that this process leads on its own server.
    pub(super) fn note(
        &mut self,
        now: Instant,
        timings: &Timings,
        survey: &Survey,
        leads: &BTreeSet<String>,
    ) {
        let Some(own) = &mut self.own else { return };
        if let Some(sight) = survey
            .sights
            .iter()
            .find(|sight| sight.server == own.server)
        {
            *own = sight.clone();
        }
        // It may have been looked at before that.
        let held = own.held.get_or_insert_default();
        held.elections.extend(leads.iter().cloned());
        for rival in self.seen.values_mut() {
            rival.missed(now, timings, survey);
        }
        for sight in survey.sights.iter() {
            if !own.rivals(sight) {
                self.seen.remove(&sight.server);
                continue;
            }
            let until = now + timings.unknown_rival();
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
    pub(super) fn better(&self) -> Option<&Sight> {
        let own = self.own.as_ref()?;
        let rivals = self.seen.values().filter(|rival| rival.answers);
        let best = rivals
            .map(|rival| &rival.sight)
            .max_by_key(|one| one.rank())?;
        (best.rank() > own.rank()).then_some(best)
    }

    /// The session is given up for a better one.
    pub(super) fn want(&mut self, name: String) {
        self.wanted = Some(name);
    }

    /// That one.
    pub(super) fn wanted(&self) -> Option<String> {
        self.wanted.clone()
    }

    /// Those that count.
    pub(super) fn all(&self, now: Instant) -> impl Iterator<Item = &Sight> {
        let counts = move |rival: &&Rival| rival.answers || now < rival.until;
        let rivals = self.seen.values().filter(counts);
        rivals.map(|rival| &rival.sight)
    }

    pub(super) fn is_contested(&self, now: Instant) -> bool {
        self.all(now).next().is_some()
    }

    /// Whether the leadership of this election is, or may be, held on another.
    pub(super) fn is_held(&self, now: Instant, election: &str) -> bool {
        let holds = |held: &Led| held.elections.contains(election);
        self.seen
            .values()
            .filter(|rival| now < rival.until)
            .any(|rival| rival.sight.held.as_ref().is_none_or(holds))
    }
}

impl Rival {
    /// A look, if it was missing there.
    fn missed(&mut self, now: Instant, timings: &Timings, survey: &Survey) {
        let name = &self.sight.name;
        let missed = survey.missed.iter().find(|missed| missed.name == *name);
        let replaced = survey
            .sights
            .iter()
            .any(|sight| sight.name == *name && sight.server != self.sight.server);
        if missed.is_none() && !replaced {
            return;
        }
        self.answers = false;
        self.sight.held = None;
        let refuses = missed.is_some_and(|missed| missed.refuses);
        if (refuses || replaced) && !self.gone {
            self.gone = true;
            self.until = now + timings.refusing_rival();
        }
    }
}
