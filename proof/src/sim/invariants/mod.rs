//! The numbered invariants of `src/engine`, one a file, each decided by facts alone.

mod candidacy_goes_on;
mod fences_hold;
mod invariant;
mod is_current_is_true;
mod one_worker;
mod orderly_release;
mod somebody_leads;
mod steady_state;
mod terms_increase;

use self::invariant::Invariant;
use super::clock::Time;
use super::fact::Fact;

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) invariant: &'static str,
    pub(super) why: String,
    /// Something did not happen in time.
    pub(super) is_late: bool,
}

pub(super) struct Invariants(Vec<Box<dyn Invariant>>);

impl Invariants {
    pub(super) fn new() -> Invariants {
        Invariants(vec![
            Box::new(one_worker::OneWorker::default()),
            Box::new(terms_increase::TermsIncrease::default()),
            Box::new(fences_hold::FencesHold::default()),
            Box::new(orderly_release::OrderlyRelease::default()),
            Box::new(is_current_is_true::IsCurrentIsTrue::default()),
            Box::new(somebody_leads::SomebodyLeads::default()),
            Box::new(steady_state::SteadyState),
            Box::new(candidacy_goes_on::CandidacyGoesOn::default()),
        ])
    }

    /// The first invariant that this fact breaks.
    pub(super) fn observe(&mut self, at: Time, fact: &Fact) -> Option<Broken> {
        self.0.iter_mut().find_map(|invariant| {
            let why = invariant.observe(at, fact).err()?;
            Some(Broken {
                invariant: invariant.name(),
                why,
                is_late: invariant.is_about_time(fact),
            })
        })
    }
}
