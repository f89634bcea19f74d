//! The session's socket, opened by ourselves so that we decide when it closes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use crate::engine::Timings;
use crate::platform;

/// Keeps the session's socket open, whatever else closes it: a duplicate of its descriptor.
///
/// Whatever runs work holds one. The kernel closes the connection when the last is gone; until then the
/// server must not be able to take the end of a session for the end of its work (invariant 1).
pub(crate) type SocketGuard = Arc<OwnedFd>;

pub(crate) fn guard(socket: &impl AsFd) -> io::Result<SocketGuard> {
    socket.as_fd().try_clone_to_owned().map(Arc::new)
}

pub(crate) async fn tcp(address: std::net::SocketAddr, timings: &Timings) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    platform::tcp::set_patience(&stream, whole_seconds(timings.silence_limit))?;
    Ok(stream)
}

pub(crate) async fn unix(directory: &Path, port: u16) -> io::Result<UnixStream> {
    UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await
}

/// Rounded up: no TCP timer may act sooner than the silence limit.
pub(crate) fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_millis().div_ceil(1000) as u64)
}
