//! Thousands of elections: what an event costs does not grow with their number.

use std::time::Instant as Clock;

use super::handle::{Engined, candidature, opened, setup, tried};
use super::*;

/// All are joined, won and led, say that they are ready, are proved for a lease, and end. How long the engine takes.
fn a_life_of(elections: u32) -> Duration {
    let began_at = Clock::now();
    let mut engined = Engined::with(setup());
    engined.input(opened());
    for key in 1..=elections {
        let candidature = candidature(&format!("e{key}"), 1);
        let key = Key(key);
        engined.input(Input::Join { key, candidature });
    }
    let mut led = 0;
    while led < elections || !engined.sent.is_empty() {
        match &engined.sent[0] {
            Request::Campaign(bids) => {
                let bids = bids.of.iter();
                let tries: Vec<_> = bids.map(|bid| tried(bid.election, began(8))).collect();
                led += u32::try_from(tries.len()).unwrap();
                engined.answer(Answer::Campaigned(tries));
            }
            _ => engined.answer_oldest(),
        }
    }
    for key in 1..=elections {
        let (key, term) = (Key(key), 8);
        engined.input(Input::Ready { key, term });
    }
    engined.answer_all();
    engined.pass(LEASE);
    let started = |output: &&Output| matches!(output, Output::Start { .. });
    let started = engined.done.iter().filter(started).count();
    assert_eq!(started, elections as usize);
    engined.input(Input::Shutdown);
    for key in 1..=elections {
        let (key, term, stop) = (Key(key), 8, Stop::Returned);
        engined.input(Input::Stopped { key, term, stop });
    }
    engined.answer_all();
    assert!(engined.has_done(&Output::Finished { refused: false }));
    began_at.elapsed()
}

/// Twice as many elections with twice as many events take four times as long where each event looks at all of them.
#[test]
fn five_thousand_elections_live_and_end_in_no_time() {
    let lasted = a_life_of(5000);
    assert!(lasted < Duration::from_secs(20), "{lasted:?}");
}

#[test]
#[ignore = "it measures"]
fn how_long_thousands_of_elections_take() {
    for elections in [500, 1000, 2000, 5000] {
        eprintln!("{elections}: {:?}", a_life_of(elections));
    }
}
