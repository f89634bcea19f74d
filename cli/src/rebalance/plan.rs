//! Which elections go where: few of them, and the counts become as even as the candidates allow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An election that somebody leads.
#[derive(Clone, Debug)]
pub(super) struct Led {
    pub(super) election: String,
    pub(super) leader: String,
    /// The addresses that may lead it.
    pub(super) candidates: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) election: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// The moves, by election. While there is a way from an address to one that leads at least two fewer, over elections
/// that may change hands, they go along it: each makes the sum of squares smaller, so it ends.
pub(super) fn plan(all_led: &[Led]) -> Vec<Move> {
    let mut leaders: Vec<&str> = all_led.iter().map(|one| one.leader.as_str()).collect();
    while let Some(way) = way(all_led, &leaders) {
        for (election, to) in way {
            leaders[election] = to;
        }
    }
    let moved = all_led.iter().zip(leaders);
    moved
        .filter(|(one, leader)| one.leader != *leader)
        .map(|(one, leader)| Move {
            election: one.election.clone(),
            from: one.leader.clone(),
            to: leader.to_owned(),
        })
        .collect()
}

/// How many each address leads, now and after the moves.
pub(super) fn counts(all_led: &[Led], moves: &[Move]) -> BTreeMap<String, (usize, usize)> {
    let now = led(all_led, all_led.iter().map(|one| one.leader.as_str()));
    let now = now.into_iter();
    let mut counts: BTreeMap<String, (usize, usize)> = now
        .map(|(address, count)| (address.to_owned(), (count, count)))
        .collect();
    for Move { from, to, .. } in moves {
        counts.entry(from.clone()).or_default().1 -= 1;
        counts.entry(to.clone()).or_default().1 += 1;
    }
    counts
}

/// How many each address leads by these leaders; none, where it may lead.
fn led<'a>(all_led: &'a [Led], leaders: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let candidates = all_led.iter().flat_map(|one| &one.candidates);
    let mut led: BTreeMap<&str, usize> = candidates.map(|one| (one.as_str(), 0)).collect();
    for leader in leaders {
        *led.entry(leader).or_default() += 1;
    }
    led
}

/// Elections and who is to lead them, from the address that leads most to the one of all that can be come to that leads
/// fewest, and at least two fewer; the shortest such way.
fn way<'a>(all_led: &'a [Led], leaders: &[&'a str]) -> Option<Vec<(usize, &'a str)>> {
    let led = led(all_led, leaders.iter().copied());
    let mut starts: Vec<(&str, usize)> = led
        .iter()
        .map(|(address, count)| (*address, *count))
        .collect();
    starts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    starts.into_iter().find_map(|(start, count)| {
        // By which election, and from whom, each address was come to.
        let mut come: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        let mut fewest = start;
        let mut next = VecDeque::from([start]);
        while let Some(address) = next.pop_front() {
            let led_here = leaders
                .iter()
                .enumerate()
                .filter(|(_, leader)| **leader == address);
            for (election, _) in led_here {
                for candidate in &all_led[election].candidates {
                    let candidate = candidate.as_str();
                    if candidate != start && !come.contains_key(candidate) {
                        come.insert(candidate, (election, address));
                        next.push_back(candidate);
                        if led[candidate] < led[fewest] {
                            fewest = candidate;
                        }
                    }
                }
            }
        }
        let mut way = vec![];
        let mut to = fewest;
        while to != start {
            let (election, from) = come[to];
            way.push((election, to));
            to = from;
        }
        (led[fewest] + 2 <= count).then_some(way)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led_by(election: &str, leader: &str, candidates: &str) -> Led {
        Led {
            election: election.to_owned(),
            leader: leader.to_owned(),
            candidates: candidates.split(' ').map(ToOwned::to_owned).collect(),
        }
    }

    fn then_led(all_led: &[Led]) -> Vec<(String, usize)> {
        let moves = plan(all_led);
        for Move { election, from, to } in &moves {
            let of = all_led
                .iter()
                .find(|one| one.election == *election)
                .unwrap();
            assert!(of.leader == *from && of.candidates.contains(to) && from != to);
        }
        let counts = counts(all_led, &moves).into_iter();
        counts.map(|(address, (_, then))| (address, then)).collect()
    }

    fn even(addresses: &[(&str, usize)]) -> Vec<(String, usize)> {
        addresses
            .iter()
            .map(|(address, count)| ((*address).to_owned(), *count))
            .collect()
    }

    #[test]
    fn whoever_came_first_shares_with_all() {
        let names: Vec<String> = (0..7).map(|number| format!("e{number}")).collect();
        let all_led: Vec<Led> = names
            .iter()
            .map(|name| led_by(name, "a", "a b c"))
            .collect();
        assert_eq!(then_led(&all_led), even(&[("a", 3), ("b", 2), ("c", 2)]));
        assert_eq!(plan(&all_led).len(), 4, "no more than must");
    }

    #[test]
    fn what_is_even_already_stays() {
        let all_led = [
            led_by("x", "a", "a b"),
            led_by("y", "b", "a b"),
            led_by("z", "a", "a b"),
        ];
        assert_eq!(plan(&all_led), []);
        assert_eq!(plan(&[]), []);
    }

    /// a shares none with c; b gives c what it gets from a.
    #[test]
    fn it_goes_by_way_of_others_where_it_must() {
        let all_led = [
            led_by("1", "a", "a b"),
            led_by("2", "a", "a b"),
            led_by("3", "a", "a b"),
            led_by("4", "b", "b c"),
        ];
        assert_eq!(then_led(&all_led), even(&[("a", 2), ("b", 1), ("c", 1)]));
    }

    #[test]
    fn an_election_without_other_candidates_stays_where_it_is() {
        let all_led = [
            led_by("1", "a", "a"),
            led_by("2", "a", "a"),
            led_by("3", "b", "b"),
        ];
        assert_eq!(plan(&all_led), []);
    }

    /// A leader of a lower priority, or that is excluded, is none of those that may lead.
    #[test]
    fn a_leader_that_may_not_lead_again_counts() {
        let all_led = [led_by("1", "old", "a"), led_by("2", "old", "a")];
        assert_eq!(then_led(&all_led), even(&[("a", 1), ("old", 1)]));
    }
}
