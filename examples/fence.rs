//! Writes that only the current leader can make, with `tokio-postgres`.
//!
//! ```text
//! createdb fence
//! cargo run --example fence -- postgres://postgres@localhost/fence 127.0.0.1:8001
//! cargo run --example fence -- postgres://postgres@localhost/fence 127.0.0.1:8002
//! psql fence -c "SELECT pgleader.depose('fence')"
//! ```
//!
//! It leads an election and books once a second, each time in a transaction that the fence guards. The work is
//! careless on purpose: a task of its own keeps writing and never asks whether its term is over. When it is,
//! the database refuses, and the example says how. Ctrl-C ends it.

use std::time::Duration;

use pg_leader::Term;
use tokio_postgres::{Client, NoTls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await?;
    tokio::spawn(connection);
    let create = "CREATE TABLE IF NOT EXISTS booking (term bigint, address text, at timestamptz)";
    client.batch_execute(create).await?;

    let leader = pg_leader::run(&database, "fence", &address, {
        let (database, address) = (database.clone(), address.clone());
        move |term| work(term, database.clone(), address.clone())
    })
    .await?;
    tokio::signal::ctrl_c().await?;
    println!("{}; shutting down", leader.state());
    leader.elector().shutdown().await;
    Ok(())
}

async fn work(term: Term, database: String, address: String) -> Result<(), tokio_postgres::Error> {
    // Any connection to the same database will do, one of a pool too.
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await?;
    tokio::spawn(connection);
    term.ready();
    println!("term {}: leading", term.number());
    // Not dropped with the work: this is what a fence is for.
    tokio::spawn(careless(term.clone(), client, address));
    term.deposed().await;
    println!("term {}: over", term.number());
    Ok(())
}

async fn careless(term: Term, mut client: Client, address: String) {
    loop {
        match book(&term, &mut client, &address).await {
            Ok(()) => println!("term {}: booked", term.number()),
            Err(error) => {
                match error.downcast_ref::<pg_leader::Error>() {
                    Some(refused) if refused.is_fenced() => println!("refused: {refused}"),
                    _ => println!("not booked: {error}"),
                }
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Commits before a later term begins, or never.
async fn book(
    term: &Term,
    client: &mut Client,
    address: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let transaction = client.transaction().await?;
    term.fence(&transaction).await?;
    let number = i64::try_from(term.number())?;
    let insert = "INSERT INTO booking VALUES ($1, $2, now())";
    transaction.execute(insert, &[&number, &address]).await?;
    transaction.commit().await?;
    Ok(())
}
