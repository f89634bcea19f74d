//! Follow the leader's address without being a candidate, and send clients there.
//!
//! ```text
//! cargo run --example observer -- postgres://postgres@localhost/postgres smallest 127.0.0.1:8000
//! cargo run --example smallest -- postgres://postgres@localhost/postgres 127.0.0.1:8001
//! curl -i http://127.0.0.1:8000/
//! ```
//!
//! It prints every change, and answers each HTTP request with a redirection to the leader.

use futures_util::StreamExt;
use pg_leader::{AddressError, Elector, Observer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(election), Some(listen)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("give a connection string, an election and an address to listen on".into());
    };
    let elector = Elector::connect(database).await?;
    let observer = elector.observe(&election)?;
    let listener = TcpListener::bind(&listen).await?;

    let mut changes = observer.changes();
    loop {
        tokio::select! {
            Some(standing) = changes.next() => {
                let address = standing.address.as_deref().unwrap_or("nowhere");
                println!("term {}: {} at {address}", standing.term, standing.state);
            }
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                // The address is known already: no query, no waiting.
                let answer = answer(&observer);
                tokio::spawn(async move {
                    if let Err(error) = serve(client, answer).await {
                        eprintln!("a client went away: {error}");
                    }
                });
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
    }
    elector.shutdown().await;
    Ok(())
}

fn answer(observer: &Observer) -> String {
    match observer.address() {
        Ok(leader) => format!("307 Temporary Redirect\r\nLocation: http://{leader}/"),
        // Not the same: a vacancy is over in a moment, a lost database may take longer.
        Err(AddressError::NoLeader) => "503 Nobody Leads\r\nRetry-After: 1".to_owned(),
        Err(_) => "503 Leader Unknown\r\nRetry-After: 5".to_owned(),
    }
}

async fn serve(client: TcpStream, answer: String) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    // Until the empty line that ends a request's head.
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let response = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(response.as_bytes()).await?;
    client.shutdown().await
}
