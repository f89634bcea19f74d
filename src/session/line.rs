//! A session of tokio-postgres, and what it brings.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio_postgres::AsyncMessage;
use tracing::Level;

use super::door::Session;
use super::payload::election_in;
use crate::connection::Wire;
use crate::connection::socket::SocketGuard;
use crate::engine::{Answer, Input, Notification, Request};
use crate::error::Error;
use crate::foreign::log::{Entry, Log};
use crate::statements::Link;

/// So many notifications are taken together at most: a flood must not starve the answers for long.
const BATCH: usize = 512;

type Awaited = Pin<Box<dyn Future<Output = Result<Answer, Error>>>>;

/// A session, and what is under way on it.
pub(crate) struct Line {
    wire: Wire,
    link: Link,
    /// They are polled for the first time in their order, and that is when they are written: see the test below.
    asked: FuturesOrdered<Awaited>,
    /// It has ended, and why. What came before that is still to be brought.
    ended: Option<Option<Arc<str>>>,
    log: Log,
}

impl Line {
    pub(crate) fn new(wire: Wire, link: Link, log: Log) -> Line {
        Line {
            wire,
            link,
            asked: FuturesOrdered::new(),
            ended: None,
            log,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        loop {
            if let Poll::Ready(Some(answered)) = self.asked.poll_next_unpin(cx) {
                return Poll::Ready(match answered {
                    Ok(answer) => Input::Answered(answer),
                    Err(error) if self.link.is_closed() => self.end_of(Some(&error)),
                    Err(error) => Input::Refused {
                        why: error.to_string().into(),
                    },
                });
            }
            if self.ended.is_some() {
                return Poll::Ready(self.end_of(None));
            }
            match self.poll_messages(cx) {
                Poll::Ready(Some(notified)) => return Poll::Ready(notified),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Its end, in the words of whoever noticed it first.
    fn end_of(&self, error: Option<&Error>) -> Input {
        let ended = self.ended.clone().flatten();
        let why = ended.or_else(|| error.map(|error| error.to_string().into()));
        Input::Lost { why }
    }

    /// `None`: it has ended.
    fn poll_messages(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let mut notifications = vec![];
        while notifications.len() < BATCH {
            match self.wire.poll_next(cx) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                    notifications.extend(about(&notification));
                }
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                    let message = format!("the server says: {notice}");
                    self.log.say(Entry::new(Level::DEBUG, message));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(end) => {
                    let error = end.and_then(Result::err);
                    let why = error.map(|error| Error::session("listening", error));
                    self.ended = Some(why.map(|why| why.to_string().into()));
                    return Poll::Ready(None);
                }
                Poll::Pending if notifications.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Input::Notified(notifications)))
    }
}

/// Anyone may send notifications: of these no more is used than which election to look at.
fn about(notification: &tokio_postgres::Notification) -> Option<Notification> {
    if notification.channel() != "pg_leader" {
        return None;
    }
    let election = election_in(notification.payload())?.into();
    let pid = notification.process_id();
    Some(Notification { pid, election })
}

impl Session for Line {
    fn send(&mut self, request: Request) {
        self.asked
            .push_back(Box::pin(self.link.send(request).err_into()));
    }

    fn next(&mut self) -> impl Future<Output = Input> {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn socket(&self) -> &SocketGuard {
        self.wire.socket()
    }

    fn let_go(self) {
        self.wire.let_go();
    }

    fn goodbye(self) {
        let Line {
            wire, link, asked, ..
        } = self;
        wire.goodbye((asked, link));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::Waker;

    use super::*;

    /// Requests are written when they are first polled.
    #[test]
    fn what_is_asked_is_polled_for_the_first_time_in_its_order() {
        let polled: Arc<Mutex<Vec<u32>>> = Arc::default();
        let mut asked: FuturesOrdered<Pin<Box<dyn Future<Output = u32>>>> = FuturesOrdered::new();
        let mut context = Context::from_waker(Waker::noop());
        let (mut expected, mut early) = (vec![], 0);
        for round in 0..100 {
            for nth in 0..10 {
                let (polled, number) = (Arc::clone(&polled), round * 10 + nth);
                let (mut left, mut first) = (number % 3, true);
                expected.push(number);
                asked.push_back(Box::pin(poll_fn(move |cx| {
                    if std::mem::take(&mut first) {
                        polled.lock().unwrap().push(number);
                    }
                    if left == 0 {
                        return Poll::Ready(number);
                    }
                    left -= 1;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })));
            }
            // Now and then one is answered before others are asked.
            early += usize::from(asked.poll_next_unpin(&mut context).is_ready());
        }
        let mut answered = vec![];
        while answered.len() < expected.len() - early {
            if let Poll::Ready(Some(number)) = asked.poll_next_unpin(&mut context) {
                answered.push(number);
            }
        }
        assert_eq!(*polled.lock().unwrap(), expected);
        assert!(answered.is_sorted());
    }
}
