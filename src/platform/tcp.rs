//! How long TCP waits for a peer that does not answer.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// A peer that acknowledges nothing for so long is given up. Elsewhere than on Linux that is so where nothing is under
/// way; what was sent and is not acknowledged waits for the system's own limit. Whole seconds.
pub(crate) fn set_patience(socket: &impl AsFd, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(patience)
            .with_interval(patience)
            .with_retries(3),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    Ok(())
}
