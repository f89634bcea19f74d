//! A session, and what it brings.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_postgres::{AsyncMessage, Notification};
use tracing::Level;

use crate::leash::Leash;
use crate::session::connect::Messages;
use crate::session::log::{Entry, Log};
use crate::session::queries::{Asked, Reply};
use crate::session::socket::SocketGuard;
use crate::session::statements::Link;

/// A session and what is under way on it. As in `connect::Session`, `messages` must go first.
pub(super) struct Line {
    pub(super) messages: Messages,
    pub(super) queries: FuturesUnordered<Asked>,
    pub(super) link: Arc<Link>,
    pub(super) socket: SocketGuard,
    pub(super) pid: i32,
    pub(super) direct: bool,
    pub(super) leash: Arc<Leash>,
    pub(super) log: Log,
}

/// What a session brings.
pub(super) enum Heard {
    Reply(Box<Reply>),
    Notifications(Vec<Notification>),
    End(Option<tokio_postgres::Error>),
}

/// So many notifications are taken together at most: a flood must not starve the answers for long.
const BATCH: usize = 512;

impl Line {
    /// Cancel safe: nothing is taken from the session before it is returned.
    pub(super) async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            Some(reply) = self.queries.next() => Heard::Reply(Box::new(reply)),
            heard = poll_fn(|cx| poll_heard(&mut self.messages, &self.log, cx)) => heard,
        }
    }
}

fn poll_heard(messages: &mut Messages, log: &Log, cx: &mut Context<'_>) -> Poll<Heard> {
    let mut notifications = vec![];
    while notifications.len() < BATCH {
        match messages.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                notifications.push(notification);
            }
            Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                log.say(Entry::new(
                    Level::DEBUG,
                    format!("the server says: {notice}"),
                ));
            }
            Poll::Ready(Some(Ok(_))) => {}
            // What came before the end counts no more: the stream is fused and ends again.
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Heard::End(Some(error))),
            Poll::Ready(None) => return Poll::Ready(Heard::End(None)),
            Poll::Pending if notifications.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(Heard::Notifications(notifications))
}
