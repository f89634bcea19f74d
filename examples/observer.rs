// cargo run --example observer -- postgres://postgres@localhost/postgres smallest 127.0.0.1:8000
//! Follow the leader's address without being a candidate, and send clients there.
//!
//! Start the example `smallest` as well, then `curl -i http://127.0.0.1:8000/`. It prints every change, and answers each
//! HTTP request with a redirection to the leader.

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
    let elector = Elector::start(database)?;
    let observer = elector.observe(&election)?;
    let listener = TcpListener::bind(&listen).await?;
    tokio::spawn(tell(observer.clone()));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(serve(accepted?.0, observer.clone()));
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                elector.shutdown().await;
                return Ok(());
            }
        }
    }
}

async fn tell(observer: Observer) {
    let mut changes = observer.changes();
    while let Some(standing) = changes.next().await {
        let address = standing.address.as_deref().unwrap_or("nowhere");
        println!("term {}: {} at {address}", standing.term, standing.state);
    }
}

async fn serve(client: TcpStream, observer: Observer) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut line = String::new();
    // Until the empty line that ends a request's head.
    while client.read_line(&mut line).await? > 2 {
        line.clear();
    }
    // The address is known already: no query, no waiting.
    let answer = match observer.address() {
        Ok(leader) => format!("307 Temporary Redirect\r\nLocation: http://{leader}/"),
        // Not the same: a vacancy is over in a moment, a lost database may take longer.
        Err(AddressError::NoLeader) => "503 Nobody Leads\r\nRetry-After: 1".to_owned(),
        Err(_) => "503 Leader Unknown\r\nRetry-After: 5".to_owned(),
    };
    let response = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(response.as_bytes()).await?;
    client.shutdown().await
}
