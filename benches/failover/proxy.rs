//! A TCP proxy: a session through it is not direct.

use std::io;

use tokio::net::{TcpListener, TcpStream};

/// The port of a proxy to `server` that ends with the tasks of this thread.
pub(crate) async fn start(server: u16) -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::task::spawn_local(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::task::spawn_local(forward(client, server));
        }
    });
    Ok(port)
}

async fn forward(mut client: TcpStream, server: u16) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
