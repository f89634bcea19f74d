//! The startup of the protocol on a socket, and what its refusals mean.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};

use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{Client, Config as PgConfig};

use super::denial;
use super::wire::Messages;
use crate::error::Error;

pub(super) async fn start<S, T>(
    postgres: &PgConfig,
    stream: S,
    tls: T,
) -> Result<(Client, Messages), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsConnect<S>,
    T::Stream: Send + 'static,
{
    let without_password = postgres.get_password().is_none();
    let connected = if without_password {
        // A server that asks for one refuses this, and its refusal has a code.
        let mut postgres = postgres.clone();
        postgres.password("");
        postgres.connect_raw(stream, tls).await
    } else {
        postgres.connect_raw(stream, tls).await
    };
    let (client, connection) = connected.map_err(|error| denial::of(error, without_password))?;
    let knows_transaction_timeout = is_17_or_newer(connection.parameter("server_version"));
    // Hazard: after its end a connection tells it again and again, and holds the requests that it cannot answer.
    let mut connection = Some(connection);
    let messages = stream::poll_fn(move |cx| {
        let Some(open) = &mut connection else {
            return Poll::Ready(None);
        };
        let message = ready!(open.poll_message(cx));
        if !matches!(message, Some(Ok(_))) {
            connection = None;
        }
        Poll::Ready(message)
    });
    let mut messages: Messages = Box::pin(messages);
    // Hazard: whoever was given no options may share a backend, where nothing is to be set before that is known.
    if knows_transaction_timeout && postgres.get_options().is_some() {
        end_no_transaction(&client, &mut messages).await?;
    }
    Ok((client, messages))
}

/// A role's limit may be a millisecond. Hazard: it is no startup option, for older servers refuse those that they do not
/// know. So it is lifted by the very first statement, which has no plan and looks nothing up.
async fn end_no_transaction(client: &Client, messages: &mut Messages) -> Result<(), Error> {
    let mut lifted = pin!(client.batch_execute("SET transaction_timeout = 0"));
    poll_fn(|cx| {
        while let Poll::Ready(Some(_)) = messages.as_mut().poll_next(cx) {}
        lifted.as_mut().poll(cx)
    })
    .await
    .map_err(|error| Error::session("SET transaction_timeout", error))
}

/// A version as the server tells it, such as `17.2 (Debian 17.2-1)` or `18beta1`.
fn is_17_or_newer(version: Option<&str>) -> bool {
    let major = version.and_then(|version| {
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<u32>().ok()
    });
    major.is_some_and(|major| major >= 17)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_major_version_is_read_however_it_is_told() {
        for version in ["17.2 (Debian 17.2-1)", "18beta1", "17devel", "20"] {
            assert!(is_17_or_newer(Some(version)), "{version}");
        }
        for version in ["16.10", "9.6.24", "", "EnterpriseDB"] {
            assert!(!is_17_or_newer(Some(version)), "{version}");
        }
        assert!(!is_17_or_newer(None));
    }

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    async fn message(server: &mut DuplexStream) -> Vec<u8> {
        let length = server.read_i32().await.unwrap();
        let mut message = vec![0; usize::try_from(length).unwrap() - 4];
        server.read_exact(&mut message).await.unwrap();
        message
    }

    /// What a server makes of it that asks for a password, in clear text, and takes none.
    async fn refused(password: Option<&str>) -> Error {
        let (ours, mut server) = tokio::io::duplex(1024);
        let mut postgres = PgConfig::new();
        postgres.user("u");
        if let Some(password) = password {
            postgres.password(password);
        }
        let answer = async {
            message(&mut server).await;
            server.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'p');
            let given = message(&mut server).await;
            assert_eq!(given, [password.unwrap_or("").as_bytes(), b"\0"].concat());
            // In French: its words are nobody's business.
            let fields = "SFATAL\0VFATAL\0C28P01\0Mauthentification echouee\0\0";
            let length = u32::try_from(fields.len()).unwrap() + 4;
            server.write_u8(b'E').await.unwrap();
            server.write_u32(length).await.unwrap();
            server.write_all(fields.as_bytes()).await.unwrap();
        };
        let start = start(&postgres, ours, tokio_postgres::NoTls);
        let (started, ()) = tokio::join!(start, answer);
        started.err().expect("it is refused")
    }

    #[tokio::test]
    async fn a_password_that_is_asked_for_and_not_there_is_the_connection_strings_fault() {
        let missing = refused(None).await;
        assert!(matches!(missing.what(), Kind::Conninfo(_)), "{missing}");
        let wrong = refused(Some("wrong")).await;
        assert!(matches!(wrong.what(), Kind::Denied { .. }), "{wrong}");
    }
}
