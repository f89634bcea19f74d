// cargo run --example fence -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! Writes that only the current leader can make, with `tokio-postgres`.
//!
//! Start it twice, the second time with another address; then `psql -c "SELECT pgleader.depose('fence')"`. It leads an
//! election and books once a second, each time in a transaction that the fence guards. The work is careless on purpose:
//! a task of its own keeps writing and never asks whether its term is over. When it is, the database refuses, and the
//! example says how. Ctrl-C ends it.

use std::time::Duration;

use pg_leader::{ErrorKind, Term};
use tokio_postgres::{Client, NoTls};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("give a connection string and an address".into());
    };
    let create = "CREATE TABLE IF NOT EXISTS booking (term bigint, at timestamptz)";
    connect(&database).await?.batch_execute(create).await?;
    let of_work = database.clone();
    let lead = move |term| work(term, of_work.clone());
    let candidacy = pg_leader::run(database, "fence", &address, lead).await?;
    tokio::signal::ctrl_c().await?;
    candidacy.elector().shutdown().await;
    Ok(())
}

async fn connect(database: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn work(term: Term, database: String) -> Result<()> {
    // Any connection to the same database will do, one of a pool too.
    let client = connect(&database).await?;
    term.ready();
    println!("term {}: leading", term.number());
    // Not dropped with the work: this is what a fence is for.
    tokio::spawn(careless(term, client));
    std::future::pending().await
}

async fn careless(term: Term, mut client: Client) {
    loop {
        match book(&term, &mut client).await {
            Ok(()) => println!("term {}: booked", term.number()),
            Err(error) => {
                let refused = error.downcast_ref::<pg_leader::Error>();
                if refused.is_some_and(|refused| refused.kind() == ErrorKind::Fenced) {
                    println!("refused: {error}");
                } else {
                    println!("not booked: {error}");
                }
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Commits before a later term begins, or never.
async fn book(term: &Term, client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await?;
    term.fence(&transaction).await?;
    // A term binds as its number.
    let insert = "INSERT INTO booking VALUES ($1, now())";
    transaction.execute(insert, &[term]).await?;
    transaction.commit().await?;
    Ok(())
}
