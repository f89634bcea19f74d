//! The smallest leader.
//!
//! ```text
//! cargo run --example smallest -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! cargo run --example smallest -- postgres://postgres@localhost/postgres 127.0.0.1:8002
//! ```
//!
//! Start it twice, and end the one that leads.

use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments
        .next()
        .ok_or("give a connection string and an address")?;
    let address = arguments.next().ok_or("give an address as well")?;

    let leader = pg_leader::run(database, "smallest", &address, |term| async move {
        println!("term {} begins", term.number());
        term.ready();
        while term.is_current() {
            println!("term {}: working", term.number());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok::<(), std::io::Error>(())
    })
    .await?;

    tokio::signal::ctrl_c().await?;
    println!("{}; resigning", leader.state());
    leader.elector().shutdown().await;
    Ok(())
}
