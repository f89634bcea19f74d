// cargo test --features testing --example failover_test
//! Test your own failover: end the leader's session on a throw-away server, and look at what your work did.
//!
//! The command runs the tests below. The program that they test runs by itself too:
//! `cargo run --features testing --example failover_test -- postgres://postgres@localhost/postgres 127.0.0.1:8001`.
//! The tests need the PostgreSQL server's binaries; see `pg_leader::testing`.

use std::io::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pg_leader::{Config, Elector, Term};

/// What the leader writes to: it takes each entry in the order of the terms, or not at all.
#[derive(Default)]
struct Ledger(Mutex<Vec<(i64, String)>>);

impl Ledger {
    fn write(&self, term: &Term) -> Result<(), Error> {
        let mut entries = self.0.lock().map_err(|_| Error::other("poisoned"))?;
        // The term is a fencing token: what comes late is refused.
        if entries
            .last()
            .is_some_and(|(last, _)| *last > term.number())
        {
            return Err(Error::other("a later term has written"));
        }
        entries.push((term.number(), term.address().to_owned()));
        Ok(())
    }

    fn last(&self) -> Option<(i64, String)> {
        self.0.lock().ok()?.last().cloned()
    }
}

async fn work(term: Term, ledger: Arc<Ledger>) -> Result<(), Error> {
    term.ready();
    while !term.is_ending() {
        ledger.write(&term)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Take part, for as long as the elector that is returned.
async fn take_part(
    config: Config,
    address: &str,
    ledger: &Arc<Ledger>,
) -> Result<Elector, pg_leader::Error> {
    let ledger = Arc::clone(ledger);
    let lead = move |term| work(term, Arc::clone(&ledger));
    let candidacy = pg_leader::run(config, "ledger", address, lead).await?;
    Ok(candidacy.detach())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    let ledger = Arc::new(Ledger::default());
    let elector = take_part(Config::new(database), &address, &ledger).await?;
    tokio::signal::ctrl_c().await?;
    elector.shutdown().await;
    println!("the last entry of this process: {:?}", ledger.last());
    Ok(())
}

#[cfg(test)]
mod tests {
    use pg_leader::testing::Cluster;

    use super::*;

    /// Each has a session of its own, as if it were a process of its own.
    async fn candidate(cluster: &Cluster, address: &str, ledger: &Arc<Ledger>) -> Elector {
        let config = Config::new(cluster.url()).lease(Duration::from_millis(500));
        take_part(config, address, ledger)
            .await
            .expect("the server is fit")
    }

    impl Ledger {
        fn term(&self) -> i64 {
            self.last().map_or(0, |(term, _)| term)
        }
    }

    /// Wait for what must happen, never for a fixed time.
    async fn until(what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(30);
        assert!(
            tokio::time::timeout(limit, waiting).await.is_ok(),
            "waited in vain: {what}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_on_when_the_leaders_session_is_killed() {
        let cluster = Cluster::start().expect("a cluster");
        let ledger = Arc::new(Ledger::default());
        let _first = candidate(&cluster, "first", &ledger).await;
        until("the first writes", || ledger.term() > 0).await;
        let _second = candidate(&cluster, "second", &ledger).await;

        for _ in 0..3 {
            let before = ledger.term();
            cluster.terminate_leader("ledger").expect("somebody leads");
            until("the next term writes", || ledger.term() > before).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_on_when_the_leader_shuts_down() {
        let cluster = Cluster::start().expect("a cluster");
        let ledger = Arc::new(Ledger::default());
        let first = candidate(&cluster, "first", &ledger).await;
        until("the first writes", || ledger.term() > 0).await;
        let _second = candidate(&cluster, "second", &ledger).await;

        first.shutdown().await;
        until("the second writes", || {
            ledger
                .last()
                .is_some_and(|(_, address)| address == "second")
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_goes_on_when_the_server_crashes() {
        let cluster = Cluster::start().expect("a cluster");
        let ledger = Arc::new(Ledger::default());
        let _only = candidate(&cluster, "only", &ledger).await;
        until("it writes", || ledger.term() > 0).await;

        let before = ledger.term();
        cluster.stop_immediate().expect("it crashes");
        cluster.start_again().expect("it comes back");
        until("it writes again", || ledger.term() > before).await;
    }
}
