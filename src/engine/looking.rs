//! When the other hosts of the connection string are looked at while there is a session, and what comes of it.
//!
//! Each retry interval, oftener while several accept writes, and once a leadership lock is won. One host in the
//! connection string is never looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::handle::Engine;
use super::{Event, Instant, Key, Notice, Output, Search, Sight, Surroundings, Survey};

impl Engine {
    /// What the next session is to find out.
    pub(super) fn search(&self) -> Search {
        let names = self.candidacies().map(|(_, name)| name.to_string());
        Search {
            elections: names.collect(),
            wanted: self.lookout.rivals.wanted(),
        }
    }

    /// A session has been opened. Nothing begins before the first look, where it is contested.
    pub(super) fn arrived(&mut self, now: Instant, hosts: Surroundings) {
        let Surroundings { own, survey } = hosts;
        let rivals = &mut self.lookout.rivals;
        rivals.arrived(now, &self.setup.timings, own, &survey);
        let contested = rivals.is_contested(now);
        self.lookout.looking = false;
        if contested {
            self.lookout.due = now;
        } else {
            self.look_later(now);
        }
        let looked = Event::Looked {
            contested,
            higher: false,
            held: vec![],
            clear: vec![],
            ends: false,
        };
        self.event(now, looked);
    }

    /// When the next look begins.
    pub(super) fn look_due(&self) -> Instant {
        if self.lookout.looking {
            Instant::NEVER
        } else if self.rules.wants_a_look() {
            Instant::default()
        } else {
            self.lookout.due
        }
    }

    fn look_later(&mut self, now: Instant) {
        let timings = &self.setup.timings;
        let lookout = &mut self.lookout;
        lookout.due = if lookout.rivals.is_contested(now) {
            now + timings.contested_look_interval()
        } else {
            now + lookout.jitter.around(timings.retry_interval)
        };
    }

    /// Look, if that is due.
    pub(super) fn look(&mut self, now: Instant) {
        if now < self.look_due() {
            return;
        }
        self.rules.look_begins();
        self.lookout.asked = self.candidacies().collect();
        self.lookout.looking = true;
        let names = self.lookout.asked.iter().map(|(_, name)| name.to_string());
        let elections = names.collect();
        self.out.push_back(Output::Look { elections });
    }

    /// `survey`: what was seen; `None` where nothing could be looked at. `late`: what one host has said after the look.
    pub(super) fn looked(&mut self, now: Instant, survey: Option<&Survey>, late: bool) {
        let was = self.lookout.rivals.is_contested(now);
        if let Some(survey) = survey {
            let leads = self.leads();
            let rivals = &mut self.lookout.rivals;
            rivals.note(now, &self.setup.timings, survey, &leads);
            self.tell_of_writers(now, survey, late);
        }
        if !late {
            self.lookout.looking = false;
        }
        self.judge(now, survey.is_some(), late);
        if self.rules.current_until().is_none() {
            return;
        }
        if !late {
            self.look_later(now);
        } else if !was && self.lookout.rivals.is_contested(now) {
            self.lookout.due = now;
        }
    }

    /// What is known now bears on the rules. `saw`: something was seen.
    fn judge(&mut self, now: Instant, saw: bool, late: bool) {
        let rivals = &mut self.lookout.rivals;
        let Some(own) = rivals.own().cloned() else {
            return;
        };
        let better = rivals.better().filter(|_| saw).cloned();
        let higher = better.is_some();
        if let Some(best) = better {
            rivals.want(best.name.clone());
            let (own, best) = (Arc::new(own), Arc::new(best));
            self.said.push(Notice::LeavesFor { own, best });
        }
        let rivals = &self.lookout.rivals;
        let is_held = |(_, name): &&(Key, Arc<str>)| rivals.is_held(now, name);
        let (held, clear): (Vec<_>, Vec<_>) = self.lookout.asked.iter().partition(is_held);
        let keys = |of: Vec<&(Key, Arc<str>)>| of.into_iter().map(|(key, _)| *key).collect();
        let looked = Event::Looked {
            contested: rivals.is_contested(now),
            higher,
            held: keys(held),
            // What comes late tells of one host alone.
            clear: if saw && !late { keys(clear) } else { vec![] },
            ends: !late,
        };
        self.event(now, looked);
    }

    /// Once, when it changes.
    fn tell_of_writers(&mut self, now: Instant, survey: &Survey, late: bool) {
        let lookout = &mut self.lookout;
        let Some(own) = lookout.rivals.own() else {
            return;
        };
        let foreign =
            |sight: &&Sight| sight.writable() && sight.server != own.server && !own.rivals(sight);
        let foreign: Vec<&Sight> = survey.sights.iter().filter(foreign).collect();
        if late && foreign.is_empty() && !lookout.rivals.is_contested(now) {
            return;
        }
        let mut all: Vec<&Sight> = lookout
            .rivals
            .all(now)
            .chain(foreign)
            .chain([own])
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by_key(|sight| sight.server);
        let several = all.len() > 1;
        let names = all.iter().map(|sight| sight.name.clone());
        let names: Vec<_> = names.filter(|_| several).collect();
        if lookout.writable == names {
            return;
        }
        let own = Arc::new(own.clone());
        let hosts = all.into_iter().filter(|_| several).cloned().collect();
        lookout.writable = names;
        self.said.push(Notice::Writers { own, hosts });
    }

    /// Elections in which this process is a candidate.
    fn candidacies(&self) -> impl Iterator<Item = (Key, Arc<str>)> {
        let desks = self.desks.desks.iter();
        desks
            .filter(|(_, desk)| desk.candidature.is_some())
            .map(|(key, desk)| (*key, Arc::clone(&desk.election)))
    }

    fn leads(&self) -> BTreeSet<String> {
        let desks = self.desks.desks.values();
        let leads = desks.filter(|desk| desk.running.is_some());
        leads.map(|desk| desk.election.to_string()).collect()
    }
}
