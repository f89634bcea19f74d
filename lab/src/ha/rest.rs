//! Patroni's REST interface.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

pub(super) const PORT: u16 = 8008;

/// A switchover may take its time to be answered, and is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What it thinks of the cluster.
pub(super) async fn members(address: &str) -> Result<Vec<Standing>> {
    let cluster = ask(address, "GET", "/cluster", None, PATIENCE).await?;
    let members = cluster["members"].as_array().cloned().unwrap_or_default();
    Ok(members.iter().map(Standing::of).collect())
}

/// What Patroni says of a member.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) role: String,
    state: String,
    lag: u64,
}

impl Standing {
    fn of(member: &Value) -> Standing {
        let text = |field: &str| member[field].as_str().unwrap_or_default().to_owned();
        Standing {
            name: text("name"),
            role: text("role"),
            state: text("state"),
            // Of the leader there is none, and of who is lost it is a word.
            lag: member["lag"].as_u64().unwrap_or_default(),
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.role == "leader" && self.state == "running"
    }

    /// Debian's older Patroni says of a standby that streams that it runs.
    pub(super) fn follows(&self) -> bool {
        self.role != "leader" && matches!(&*self.state, "streaming" | "running") && self.lag < 65536
    }
}

pub(super) async fn configure(address: &str, change: &Value) -> Result<()> {
    ask(address, "PATCH", "/config", Some(change), PATIENCE).await?;
    Ok(())
}

pub(super) async fn switch_over(address: &str, from: &str, to: &str) -> Result<()> {
    let body = json!({"leader": from, "candidate": to});
    let patience = Duration::from_secs(60);
    ask(address, "POST", "/switchover", Some(&body), patience).await?;
    Ok(())
}

async fn ask(
    address: &str,
    verb: &str,
    path: &str,
    body: Option<&Value>,
    patience: Duration,
) -> Result<Value> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{verb} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = async {
        let mut stream = TcpStream::connect((address, PORT)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(patience, answer).await??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        return Err(format!("Patroni, {verb} {path}: {status} {body}").into());
    }
    Ok(serde_json::from_str(body).unwrap_or(Value::Null))
}
