//! What a process sends, where a flaw of its own makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::flaw::{Flaw, Instead};
use super::world::World;
use crate::engine::{
    Answer, Bar, Bid, Campaigned, Counters, Held, Id, Key, Office, Request, Row, Slice, TakeOffice,
    Told, Try,
};

/// So many tries in vain.
const PATIENCE: u32 = 40;

impl World {
    /// What a process sends, as a flaw of its own makes it.
    pub(super) fn flawed(&mut self, host: usize, request: Request) -> Vec<Request> {
        let calm = self.calm;
        let (flaw, lease) = (self.flaw, self.hosts[host].timings.lease);
        let Some(running) = self.hosts[host].running.as_mut() else {
            return vec![request];
        };
        let told = &running.told;
        let held = |bid: &Bid| held(bid, running.ids.get(&bid.election), told, lease);
        let (instead, request) = match (flaw, request) {
            (Some(Flaw::StopsTrying), Request::Campaign(bids)) if running.lost_tries > PATIENCE => {
                let tries = bids.of.iter().map(held).collect();
                (Instead::This(Answer::Campaigned(tries)), Request::Prove)
            }
            (Some(Flaw::Sulks), Request::Campaign(bids)) if !calm => {
                let tries = bids.of.iter().map(held).collect();
                (Instead::This(Answer::Campaigned(tries)), Request::Prove)
            }
            (Some(Flaw::WaitsForEver), Request::TakeOffice(offices))
                if offices
                    .of
                    .iter()
                    .any(|of| running.refused.contains(&of.election)) =>
            {
                let unknown = |of: &TakeOffice| (of.election, Ok(Office::Barred(Bar::Unknown)));
                let offices = offices.of.iter().map(unknown).collect();
                (Instead::This(Answer::Office(offices)), Request::Prove)
            }
            (Some(Flaw::OneAtATime), Request::Campaign(bids)) => {
                let turn = (running.turn + 1) % bids.of.len();
                let others = bids
                    .of
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| *index != turn);
                let others = others.map(|(_, bid)| held(bid)).collect();
                let of = vec![bids.of[turn].clone()];
                running.turn += 1;
                (
                    Instead::Also(others),
                    Request::Campaign(Slice { of, ..bids }),
                )
            }
            (Some(Flaw::QueryEachElection), Request::Heartbeat(elections)) => {
                let parts = (1..elections.len()).map(|_| Instead::Part);
                running.instead.extend(parts);
                running.instead.push_back(Instead::Nothing);
                let each = elections.into_iter();
                return each.map(|id| Request::Heartbeat(vec![id])).collect();
            }
            (_, request) => (Instead::Nothing, request),
        };
        running.instead.push_back(instead);
        vec![request]
    }
}

/// As if somebody led it of whom nothing can be seen.
fn held(
    bid: &Bid,
    key: Option<&Key>,
    told: &BTreeMap<Key, u64>,
    lease: Duration,
) -> (Id, Told<Campaigned>) {
    let term = key.and_then(|key| told.get(key)).copied().unwrap_or(0);
    let counters = Counters {
        killed: 0,
        fatal: 0,
        reset: 0,
    };
    let campaigned = Campaigned {
        tried: Try::Held(Held {
            term,
            leader_pid: Some(1),
            holder_pid: Some(1),
            lease: Some(lease),
            stranger: None,
            successor: bid.successor,
            bar: None,
            silent_since: None,
            counters,
            watched: false,
        }),
        row: Row::vacant(term),
    };
    (bid.election, Ok(campaigned))
}
