// cargo run --example children -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! A leader whose work is several tasks, all of which stop before anybody else leads.
//!
//! Start it twice, the second time with another address. Then `psql -c "SELECT pgleader.step_down('children')"`: the
//! inbox finishes what it has at hand, the crunching thread its piece, and only then the other leads.
//! `psql -c "SELECT pgleader.depose('children')"` ends the session: who does not stop in time is dropped, but for the
//! thread, which is waited for.

use std::time::Duration;

use pg_leader::{Campaign, Elector, TaskError, Term};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    let elector = Elector::connect(database).await?;
    let campaign = Campaign::new("children", address).graceful(true);
    let _candidacy = elector.campaign(campaign, lead)?;
    tokio::signal::ctrl_c().await?;
    elector.shutdown().await;
    Ok(())
}

async fn lead(term: Term) -> Result<(), TaskError> {
    let inbox = term.spawn(read_the_inbox(term.clone()));
    let asked = term.clone();
    let crunching = term.spawn_blocking(move || {
        // A thread cannot be stopped from outside, so it looks, in pieces much shorter than the lease.
        while !asked.is_ending() {
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("term {}: the thread has stopped", asked.number());
    });
    term.ready();
    println!("term {}: leading", term.number());
    // Both are waited for: what is left when this returns is dropped. Whichever panics ends the term.
    inbox.await?;
    crunching.await
}

async fn read_the_inbox(term: Term) {
    let ending = term.cancellation_token();
    while !ending.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("term {}: the inbox is closed", term.number());
}
