// cargo run --example tokens -- postgres://app@localhost/postgres 127.0.0.1:8001 echo a-password
//! A leader whose password is a token that lives for minutes, as of a cloud's IAM: a command prints a new one for each
//! connection.
//!
//! On AWS the command is
//! `aws rds generate-db-auth-token --hostname HOST --port 5432 --username app`, and the connection string ends in
//! `?sslmode=verify-full&sslrootcert=FILE`. A session that is open outlives its token.

use std::time::Duration;

use pg_leader::{Config, Credentials, Elector};
use tokio::process::Command;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(database), Some(address), Some(program)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(
            "give a connection string, an address, and a command that prints a token".into(),
        );
    };
    let arguments: Vec<String> = arguments.collect();
    // Asked before each connect. What it fails with is logged, and the connect is tried again.
    let config = Config::new(database).credentials(move || {
        let mut command = Command::new(&program);
        command.args(&arguments).kill_on_drop(true);
        async move {
            let output = command.output().await?;
            if !output.status.success() {
                return Err(format!("no token: {}", output.status).into());
            }
            let token = String::from_utf8(output.stdout)?;
            Ok(Credentials::password(token.trim()))
        }
    });
    let elector = Elector::connect(config).await?;
    let candidacy = elector.campaign(("tokens", address.as_str()), |term| async move {
        println!("term {} begins", term.number());
        term.ready();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })?;
    tokio::signal::ctrl_c().await?;
    println!("{}; resigning", candidacy.state());
    elector.shutdown().await;
    Ok(())
}
