//! What `pg-leader run` and its guard tell each other: a line of text each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use pg_leader::clock::Instant;

/// To the guard. When the connection ends instead, everything is killed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The command may run until then.
    Until(Instant),
    /// End the command: SIGTERM, and SIGKILL when the grace is over or the time that it may run.
    End { grace: Duration },
}

/// From the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The command runs, in this process group.
    Started { group: i32 },
    /// The command has written a line to the descriptor that was given to it for that.
    Ready,
    /// The command and everything that it has started is dead.
    Ended(Ended),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// As in a shell: its exit status, or 128 and the number of the signal that ended it.
    pub(crate) status: u8,
    /// Nobody had asked it to.
    pub(crate) by_itself: bool,
}

/// Not a line that the other side writes.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} makes no sense")]
pub(crate) struct Senseless(String);

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Until(instant) => writeln!(f, "until {}", instant.as_nanos()),
            Order::End { grace } => writeln!(f, "end {}", grace.as_millis()),
        }
    }
}

impl FromStr for Order {
    type Err = Senseless;

    fn from_str(line: &str) -> Result<Order, Senseless> {
        let number = |text: &str| text.parse().map_err(|_| Senseless(line.to_owned()));
        match line.split_once(' ') {
            Some(("until", nanos)) => Ok(Order::Until(Instant::from_nanos(number(nanos)?))),
            Some(("end", millis)) => Ok(Order::End {
                grace: Duration::from_millis(number(millis)?),
            }),
            _ => Err(Senseless(line.to_owned())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Started { group } => writeln!(f, "started {group}"),
            Report::Ready => writeln!(f, "ready"),
            Report::Ended(Ended { status, by_itself }) => {
                writeln!(f, "ended {status} {by_itself}")
            }
        }
    }
}

impl FromStr for Report {
    type Err = Senseless;

    fn from_str(line: &str) -> Result<Report, Senseless> {
        let senseless = || Senseless(line.to_owned());
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ready"] => Ok(Report::Ready),
            ["started", group] => Ok(Report::Started {
                group: group.parse().map_err(|_| senseless())?,
            }),
            ["ended", status, by_itself] => Ok(Report::Ended(Ended {
                status: status.parse().map_err(|_| senseless())?,
                by_itself: by_itself.parse().map_err(|_| senseless())?,
            })),
            _ => Err(senseless()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for order in [
            Order::Until(Instant::from_nanos(u64::MAX)),
            Order::End {
                grace: Duration::from_millis(1500),
            },
        ] {
            assert_eq!(
                order.to_string().trim_end().parse::<Order>().unwrap(),
                order
            );
        }
        for report in [
            Report::Started { group: 7 },
            Report::Ready,
            Report::Ended(Ended {
                status: 137,
                by_itself: false,
            }),
        ] {
            let read = report.to_string().trim_end().parse::<Report>().unwrap();
            assert_eq!(read, report);
        }
        assert!("until".parse::<Order>().is_err());
        assert!("ended 300 true".parse::<Report>().is_err());
    }
}
