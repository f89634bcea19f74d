//! A TCP proxy that can swallow bytes: a network that has gone silent, in one direction or both. It can also be
//! slow, reset its connections, end one in the midst of an answer and lead to another server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Switches {
    server_port: AtomicU16,
    resets: Notify,
    to_server: AtomicBool,
    to_client: AtomicBool,
    refuse: AtomicBool,
    delay_ms: AtomicU64,
    /// So many pieces, of either side, go through until a connection ends; none ends where it is below one.
    pieces: AtomicI64,
}

/// Ends with its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// On 127.0.0.1.
    pub port: u16,
    switches: Arc<Switches>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// To a server on this machine, on a port of its own.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(server_port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let switches = Arc::new(Switches::default());
        switches.server_port.store(server_port, Ordering::SeqCst);
        let task = tokio::spawn(accept(listener, Arc::clone(&switches)));
        Proxy {
            port,
            switches,
            task,
        }
    }

    /// The way through it.
    pub fn superuser_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Swallow what goes to the server, what goes to the client, or both. Connections stay open.
    pub fn swallow(&self, to_server: bool, to_client: bool) {
        self.switches.to_server.store(to_server, Ordering::SeqCst);
        self.switches.to_client.store(to_client, Ordering::SeqCst);
        self.switches
            .refuse
            .store(to_server || to_client, Ordering::SeqCst);
    }

    /// Hold every piece back for so long.
    pub fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("a short delay");
        self.switches.delay_ms.store(delay, Ordering::SeqCst);
    }

    /// Reset every connection that there is, towards both ends.
    pub fn reset(&self) {
        self.switches.resets.notify_waiters();
    }

    /// End a connection, not by a reset, once so many pieces, of either side, have gone through.
    pub fn end_after(&self, pieces: i64) {
        self.switches.pieces.store(pieces, Ordering::SeqCst);
    }

    /// Whether a connection will end.
    pub fn ends_one(&self) -> bool {
        self.switches.pieces.load(Ordering::SeqCst) > 0
    }

    /// New connections go to another server.
    pub fn lead_to(&self, server_port: u16) {
        self.switches
            .server_port
            .store(server_port, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, switches: Arc<Switches>) {
    while let Ok((client, _)) = listener.accept().await {
        if switches.refuse.load(Ordering::SeqCst) {
            // A new connection on a silent network hangs. The server never hears of it: a backend that waits for its
            // first word would hold up the server's end for a minute.
            tokio::spawn(async move {
                let _client = client;
                std::future::pending::<()>().await;
            });
            continue;
        }
        let server_port = switches.server_port.load(Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
            continue;
        };
        // It shall not hold words back to make them more.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        let up = Arc::clone(&switches);
        tokio::spawn(pump(client_reads, server_writes, up, |switches| {
            &switches.to_server
        }));
        let down = Arc::clone(&switches);
        tokio::spawn(pump(server_reads, client_writes, down, |switches| {
            &switches.to_client
        }));
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    switches: Arc<Switches>,
    swallows: fn(&Switches) -> &AtomicBool,
) {
    let mut buffer = vec![0; 65536];
    let resets = switches.resets.notified();
    let mut resets = std::pin::pin!(resets);
    resets.as_mut().enable();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = resets.as_mut() => {
                // Without a time to linger the last close is a reset; dropped, this half would say goodbye.
                let _ = socket2::SockRef::from(to.as_ref()).set_linger(Some(Duration::ZERO));
                to.forget();
                return;
            }
        };
        let Ok(read @ 1..) = read else { break };
        let delay = switches.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if !swallows(&switches).load(Ordering::SeqCst)
            && to.write_all(&buffer[..read]).await.is_err()
        {
            break;
        }
        if switches.pieces.fetch_sub(1, Ordering::SeqCst) == 1 {
            break;
        }
    }
    // An end is not told either while the network is silent.
    while swallows(&switches).load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = to.shutdown().await;
}
