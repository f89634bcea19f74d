//! Which host is a rival, and which one of several is taken.

use super::super::sight::{Led, Server, Sight, best};

/// A primary of cluster 7 that tells all, with or without a leader of the election `e`.
pub(super) fn sight(name: &str, started: i64, timeline: i64, led: bool) -> Sight {
    Sight {
        name: name.to_owned(),
        server: Server {
            system: Some(7),
            started,
        },
        standby: false,
        read_only: false,
        timeline: Some(timeline),
        held: Some(Led {
            elections: led.then(|| "e".to_owned()).into_iter().collect(),
            any: false,
        }),
    }
}

pub(super) fn nameless(sight: Sight) -> Sight {
    let server = Server {
        system: None,
        ..sight.server
    };
    Sight { server, ..sight }
}

#[test]
fn the_newest_timeline_comes_first_then_the_leader_then_the_oldest_server() {
    let untold = Sight {
        timeline: None,
        ..sight("0", 1, 1, true)
    };
    let least_first = [
        untold,
        sight("a", 1, 1, true),
        sight("b", 9, 2, false),
        sight("c", 8, 2, false),
        sight("d", 9, 2, true),
        sight("e", 8, 2, true),
        sight("f", 9, 3, false),
    ];
    assert!(least_first.is_sorted_by_key(Sight::rank));
}

/// Two strings call the same two servers by names of their own: both take the same one.
#[test]
fn whatever_the_hosts_are_called_all_take_the_same() {
    for led in [false, true] {
        let first = [
            (0, sight("db1:5432", 5, 1, led)),
            (1, sight("db2:5432", 4, 1, led)),
        ];
        let second = [
            (0, sight("10.0.0.9:5432", 5, 1, led)),
            (1, sight("10.0.0.10:5432", 4, 1, led)),
        ];
        let third = [
            (0, sight("a:5432", 4, 1, led)),
            (1, sight("z:5432", 5, 1, led)),
        ];
        assert_eq!((best(&first), best(&second)), (vec![1], vec![1]));
        assert_eq!(best(&third), [0]);
    }
}

#[test]
fn one_server_under_two_names_is_no_rival_and_neither_is_a_standby() {
    let one = sight("a", 1, 1, true);
    assert!(!one.rivals(&sight("alias", 1, 1, true)));
    assert!(one.rivals(&sight("b", 2, 1, false)));
    let standby = Sight {
        standby: true,
        ..sight("b", 2, 1, false)
    };
    assert!(!one.rivals(&standby));
    let mut foreign = sight("b", 2, 1, false);
    foreign.server.system = Some(8);
    assert!(!one.rivals(&foreign));
}

#[test]
fn two_that_do_not_tell_their_cluster_are_of_two() {
    let one = nameless(sight("a", 1, 1, false));
    let other = nameless(sight("b", 2, 2, true));
    assert!(!one.rivals(&other) && !other.rivals(&one));
    assert!(!one.rivals(&sight("c", 3, 1, false)));
    // Both are tried, in the order of the string.
    assert_eq!(best(&[(0, one.clone()), (1, other)]), [0, 1]);
    assert_eq!(best(&[(0, one.clone()), (1, one)]), [0]);
}
