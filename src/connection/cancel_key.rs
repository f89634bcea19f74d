//! The pid that a server sends with the key for cancelling (BackendKeyData).
//!
//! The client library shows neither, but writes both where it cancels: here into memory.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Client;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// 0 where the server sent none.
pub(crate) fn pid(client: &Client) -> i32 {
    let mut memory = Written(vec![]);
    // Memory is always ready.
    let _ = client
        .cancel_token()
        .cancel_query_raw(&mut memory, Plain)
        .now_or_never();
    // Perhaps after a request for TLS: length, code, pid and secret, four bytes each.
    let pid = memory
        .0
        .rchunks_exact(4)
        .nth(1)
        .and_then(|pid| pid.try_into().ok());
    pid.map_or(0, i32::from_be_bytes)
}

/// What was written. Whatever asks it for TLS hears yes.
struct Written(Vec<u8>);

/// TLS that changes nothing.
struct Plain;

impl<'a> TlsConnect<&'a mut Written> for Plain {
    type Stream = &'a mut Written;
    type Error = io::Error;
    type Future = Ready<Result<&'a mut Written, io::Error>>;

    fn connect(self, stream: &'a mut Written) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for &mut Written {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Written {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Written {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
