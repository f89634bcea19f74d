//! What is said to a guard, and heard from it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::message::{Order, Report};

/// The connection to a guard. Whatever ends the guard may do so right after its last report: so it is the end
/// of the reports that says that there are no more, and never an order that could not be given.
pub(super) struct Talk {
    stream: UnixStream,
    /// The same, to wait for.
    reports: tokio::net::UnixStream,
    /// Read, and not yet given to anybody.
    heard: Vec<u8>,
}

impl Talk {
    pub(super) fn new(stream: UnixStream) -> io::Result<Talk> {
        stream.set_nonblocking(true)?;
        Ok(Talk {
            reports: tokio::net::UnixStream::from_std(stream.try_clone()?)?,
            stream,
            heard: vec![],
        })
    }

    /// Does nothing where the guard is gone. An error when it has taken nothing for so long that no more can be
    /// written to it.
    pub(super) fn order(&mut self, order: Order) -> io::Result<()> {
        match self.stream.write_all(order.to_string().as_bytes()) {
            Err(error) if !is_end(&error) => {
                let said = "the guard takes no orders: was it stopped?";
                Err(io::Error::new(error.kind(), said))
            }
            _ => Ok(()),
        }
    }

    /// The next report, or None when there are no more: the guard is gone. Cancel safe.
    pub(super) async fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            if let Some(report) = self.next()? {
                return Ok(Some(report));
            }
            self.reports.readable().await?;
            let mut piece = [0; 256];
            match self.reports.try_read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(read) => self.heard.extend_from_slice(&piece[..read]),
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A report that is there already.
    pub(super) fn said(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.next().ok()? {
                return Some(report);
            }
            let mut piece = [0; 256];
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.heard.extend_from_slice(&piece[..read]),
            }
        }
    }

    /// No more orders come: the guard ends the command. It may still report.
    pub(super) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next line of what was read.
    fn next(&mut self) -> io::Result<Option<Report>> {
        let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line[..end]);
        let report = line.parse();
        report
            .map(Some)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }
}

/// The other side has ended: it may also have left orders unread.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Ended;
    use std::time::Duration;

    const END: Order = Order::End {
        grace: Duration::ZERO,
    };
    const ENDED: Report = Report::Ended(Ended {
        status: 0,
        by_itself: true,
    });

    fn pair() -> (Talk, UnixStream) {
        let (ours, guard) = UnixStream::pair().unwrap();
        (Talk::new(ours).unwrap(), guard)
    }

    #[tokio::test]
    async fn an_order_to_a_guard_that_has_ended_hides_no_report() {
        let (mut talk, mut guard) = pair();
        write!(guard, "{}{ENDED}", Report::Started { group: 7 }).unwrap();
        drop(guard);
        talk.order(END).unwrap();
        let started = Report::Started { group: 7 };
        assert_eq!(talk.report().await.unwrap(), Some(started));
        talk.order(END).unwrap();
        assert_eq!(talk.report().await.unwrap(), Some(ENDED));
        talk.order(END).unwrap();
        assert_eq!(talk.report().await.unwrap(), None);
    }

    /// Its end of the connection is reset then, not closed.
    #[tokio::test]
    async fn a_guard_killed_right_after_its_report_has_reported_although_it_left_orders_unread() {
        let (mut talk, mut guard) = pair();
        talk.order(END).unwrap();
        write!(guard, "{ENDED}").unwrap();
        drop(guard);
        talk.order(END).unwrap();
        assert_eq!(talk.report().await.unwrap(), Some(ENDED));
        assert_eq!(talk.report().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_report_is_there_when_nobody_has_waited_for_it() {
        let (mut talk, mut guard) = pair();
        assert_eq!(talk.said(), None);
        talk.hang_up();
        write!(guard, "{ENDED}ready").unwrap();
        assert_eq!(talk.said(), Some(ENDED));
        assert_eq!(talk.said(), None);
    }

    #[tokio::test]
    async fn a_guard_that_takes_nothing_is_an_error_and_not_waited_for() {
        let (mut talk, _guard) = pair();
        let refused = (0..1_000_000).find_map(|_| talk.order(END).err());
        assert_eq!(refused.unwrap().kind(), ErrorKind::WouldBlock);
    }
}
