//! The wire of a session: what the server sends, who asks it, and the socket below both.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::stream::{Stream, StreamExt};
use tokio_postgres::{AsyncMessage, Client};

use super::socket::SocketGuard;

/// What the server sends beside answers. It must be polled for answers to arrive; its end is the
/// session's end. An error comes last, and the connection goes with it, so requests without an answer fail.
pub(super) type Messages =
    Pin<Box<dyn Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Send>>;

/// A connection to a server. It ends in one of two ways: [let go](Wire::let_go), which dropping it does as well, or
/// with a [goodbye](Wire::goodbye).
///
/// Hazard: tokio-postgres says goodbye once its last `Client` is gone and the connection is polled. A server that
/// hears a goodbye frees the leadership at once, and work may still run. So the wire keeps a client of its own, and
/// drops the connection before it.
pub(crate) struct Wire {
    /// `None`: it has ended.
    messages: Option<Messages>,
    client: Arc<Client>,
    socket: SocketGuard,
}

impl Wire {
    pub(super) fn new(client: Client, messages: Messages, socket: SocketGuard) -> Wire {
        Wire {
            messages: Some(messages),
            client: Arc::new(client),
            socket,
        }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The connection stays open while any clone of it lives.
    pub(crate) fn socket(&self) -> &SocketGuard {
        &self.socket
    }

    /// What the server sends next; `None` after its end.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        match &mut self.messages {
            Some(messages) => messages.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }

    /// Drive the connection until `query` is answered. Notifications that come meanwhile are dropped: nothing
    /// was read yet that they could make stale.
    pub(crate) async fn drive<F: Future>(&mut self, query: F) -> F::Output {
        let mut query = pin!(query);
        poll_fn(|cx| {
            while let Poll::Ready(Some(_)) = self.poll_next(cx) {}
            query.as_mut().poll(cx)
        })
        .await
    }

    /// Close the descriptor and send nothing. While a clone of the socket lives, the server sees no end.
    pub(crate) fn let_go(self) {
        drop(self);
    }

    /// Tell the server that nothing runs any more, as far as the socket takes it at once. `clones`: whatever else holds
    /// the client; with one left, this lets go. They go after the wire's own: a prepared statement that is dropped while
    /// there is a client asks the server to forget it, and the goodbye would stand behind the answer.
    pub(crate) fn goodbye(self, clones: impl Sized) {
        let messages = self.without_client();
        drop(clones);
        if let Some(mut messages) = messages {
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(Some(_)) = messages.poll_next_unpin(&mut cx) {}
        }
    }

    /// As [`goodbye`](Wire::goodbye), and wait until the server has closed the connection.
    pub(crate) async fn close(self) {
        if let Some(mut messages) = self.without_client() {
            while messages.next().await.is_some() {}
        }
    }

    fn without_client(mut self) -> Option<Messages> {
        self.messages.take()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.messages = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{socket, startup};
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    const TERMINATE: &[u8] = b"X\0\0\0\x04";

    /// A wire, and the server's end of it.
    async fn wire() -> (Wire, UnixStream) {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let guard = socket::guard(&ours).unwrap();
        let mut postgres = tokio_postgres::Config::new();
        postgres.user("u");
        let answer = async {
            let length = server.read_i32().await.unwrap();
            let mut message = vec![0; usize::try_from(length).unwrap() - 4];
            server.read_exact(&mut message).await.unwrap();
            // Let in, without a key, and ready.
            server
                .write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
                .await
                .unwrap();
        };
        let start = startup::start(&postgres, ours, tokio_postgres::NoTls);
        let (started, ()) = tokio::join!(start, answer);
        let (client, messages) = started.unwrap();
        (Wire::new(client, messages, guard), server)
    }

    async fn rest(mut server: UnixStream) -> Vec<u8> {
        let mut rest = vec![];
        server.read_to_end(&mut rest).await.unwrap();
        rest
    }

    #[tokio::test]
    async fn what_is_let_go_says_nothing() {
        let (wire, server) = wire().await;
        wire.let_go();
        assert_eq!(rest(server).await, b"");
        // Nor where a client lives on.
        let (wire, server) = self::wire().await;
        let client = Arc::clone(wire.client());
        drop(wire);
        drop(client);
        assert_eq!(rest(server).await, b"");
    }

    #[tokio::test]
    async fn while_a_clone_of_the_socket_lives_there_is_no_end() {
        let (wire, mut server) = wire().await;
        let socket = Arc::clone(wire.socket());
        wire.let_go();
        let mut read = pin!(server.read_u8());
        assert!(read.as_mut().now_or_never().is_none());
        drop(socket);
        assert!(read.await.is_err());
    }

    #[tokio::test]
    async fn a_goodbye_is_said_where_nobody_else_holds_the_client() {
        let (wire, server) = wire().await;
        let other = Arc::clone(wire.client());
        wire.goodbye(other);
        assert_eq!(rest(server).await, TERMINATE);
        let (wire, server) = self::wire().await;
        let left = Arc::clone(wire.client());
        wire.goodbye(());
        assert_eq!(rest(server).await, b"");
        drop(left);
        let (wire, server) = self::wire().await;
        let (said, ()) = tokio::join!(rest(server), wire.close());
        assert_eq!(said, TERMINATE);
    }
}
