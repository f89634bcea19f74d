// cargo run --example smallest -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! The smallest leader. Start it twice, the second time with another address, and end the one that leads.

use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    let candidacy = pg_leader::run(database, "smallest", &address, |term| async move {
        println!("term {} begins", term.number());
        term.ready();
        loop {
            println!("term {}: working", term.number());
            // Dropped here when the term ends.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await?;

    tokio::signal::ctrl_c().await?;
    println!("{}; resigning", candidacy.state());
    candidacy.elector().shutdown().await;
    Ok(())
}
