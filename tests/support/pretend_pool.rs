//! A pretend pool in session mode, with a way of its own of treating startup options. Each client keeps its backend.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const SSL_REQUEST: i32 = 80_877_103;
const PROTOCOL_3: i32 = 196_608;

/// What becomes of startup options.
#[derive(Clone, Copy, Debug)]
pub enum Options {
    /// The pool reads them itself, and passes these settings on.
    Kept(&'static [&'static str]),
    /// It refuses whoever has any, with this code.
    Refused(&'static str),
}

/// Ends with its connections when dropped.
pub struct PretendPool {
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl PretendPool {
    pub async fn start(server_port: u16, options: Options) -> PretendPool {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(async move {
                    // Whoever ends the connection has his reasons.
                    let _ = serve(client, server_port, options).await;
                });
            }
        });
        PretendPool { port, task }
    }
}

impl Drop for PretendPool {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, server_port: u16, options: Options) -> std::io::Result<()> {
    let mut message = read(&mut client).await?;
    while code(&message) == SSL_REQUEST {
        client.write_all(b"N").await?;
        message = read(&mut client).await?;
    }
    if code(&message) == PROTOCOL_3 {
        let text = String::from_utf8_lossy(&message[4..]).into_owned();
        let words: Vec<&str> = text.split('\0').collect();
        let pairs = words.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        let mut parameters: BTreeMap<&str, String> = pairs
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        if let Some(given) = parameters.remove("options") {
            match options {
                Options::Refused(code) => return refuse(&mut client, code).await,
                Options::Kept(kept) => {
                    let is_kept = |option: &&str| kept.iter().any(|name| option.starts_with(name));
                    let kept = given.split("-c ").filter(is_kept);
                    let kept: Vec<String> = kept.map(|option| format!("-c {option}")).collect();
                    parameters.insert("options", kept.join(" "));
                }
            }
        }
        message = PROTOCOL_3.to_be_bytes().to_vec();
        for (name, value) in parameters {
            message.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        message.push(0);
    }
    let mut server = TcpStream::connect(("127.0.0.1", server_port)).await?;
    let length = i32::try_from(message.len() + 4).expect("it is short");
    server.write_i32(length).await?;
    server.write_all(&message).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn read(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = client.read_i32().await?;
    let mut message = vec![0; usize::try_from(length).expect("a length") - 4];
    client.read_exact(&mut message).await?;
    Ok(message)
}

fn code(message: &[u8]) -> i32 {
    i32::from_be_bytes(message[..4].try_into().expect("four bytes"))
}

async fn refuse(client: &mut TcpStream, code: &str) -> std::io::Result<()> {
    let fields = format!(
        "SFATAL\0VFATAL\0C{code}\0MFeature not supported: no command-line options here.\0\0"
    );
    client.write_u8(b'E').await?;
    let length = i32::try_from(fields.len() + 4).expect("it is short");
    client.write_i32(length).await?;
    client.write_all(fields.as_bytes()).await
}
