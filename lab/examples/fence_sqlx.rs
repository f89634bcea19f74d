//! Writes that only the current leader can make, with `sqlx` and a pool.
//!
//! ```text
//! createdb fence
//! cargo run -p pg-leader-lab --features sqlx --example fence_sqlx -- postgres://postgres@localhost/fence
//! ```
//!
//! `Term::fence` takes a transaction of `tokio-postgres`. Every other driver calls the function that it calls,
//! and looks at the SQLSTATE. This leads a term, books in it, gives it up, and tries to book once more.

use std::time::Duration;

use pg_leader::{Elector, Term};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::mpsc;

/// The SQLSTATE with which the fence refuses a term that is over.
const PAST_TERM: &str = "PL001";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(database) = std::env::args().nth(1) else {
        return Err("give a connection string".into());
    };
    let elector = Elector::connect(&database).await?;
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect(&database)
        .await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS booking (term bigint, address text, at timestamptz)")
        .execute(&pool)
        .await?;

    let (began, mut terms) = mpsc::channel(1);
    let candidacy = elector.campaign(("fence", "127.0.0.1:8003"), move |term: Term| {
        let began = began.clone();
        async move {
            term.ready();
            // The term is handed out, and so outlives its work: on purpose.
            let _ = began.send(term.clone()).await;
            std::future::pending::<()>().await;
        }
    })?;
    let term = terms.recv().await.ok_or("the elector has ended")?;
    for _ in 0..3 {
        report(&term, book(&pool, &term).await)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("term {}: resigning", term.number());
    candidacy.resign().await;
    report(&term, book(&pool, &term).await)?;

    elector.shutdown().await;
    pool.close().await;
    Ok(())
}

/// Commits before a later term begins, or never.
async fn book(pool: &PgPool, term: &Term) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pgleader.fence($1, $2, $3::text::uuid)")
        .bind(term.election())
        .bind(term.number())
        .bind(term.token())
        .execute(&mut *transaction)
        .await?;
    sqlx::query("INSERT INTO booking VALUES ($1, $2, now())")
        .bind(term.number())
        .bind("127.0.0.1:8003")
        .execute(&mut *transaction)
        .await?;
    // An error on the way here has dropped the transaction, which rolls it back.
    transaction.commit().await
}

fn report(term: &Term, booked: Result<(), sqlx::Error>) -> Result<(), sqlx::Error> {
    match booked {
        Ok(()) => println!("term {}: booked", term.number()),
        Err(sqlx::Error::Database(refused)) if refused.code().as_deref() == Some(PAST_TERM) => {
            println!("refused ({PAST_TERM}): {}", refused.message());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
