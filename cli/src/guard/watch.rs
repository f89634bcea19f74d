//! The guard's watch over the command.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_util::FutureExt;
use pg_leader::clock::{self, Instant};
use pg_leader::leash::{Demand, Leash};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::signal::unix::{self, SignalKind, signal};

use crate::message::{Ended, Order, Report};
use crate::platform::alarm::Alarm;
use crate::platform::endings::Endings;
use crate::platform::processes;

/// What is killed is looked at so often until it is gone: what forks is found again.
const SWEEP: Duration = Duration::from_millis(2);

/// From the loss of the term, at 0.75 of the lease, to SIGKILL, at 0.8. The library drops its work at 0.85.
fn margin(lease: Duration) -> Duration {
    lease / 20
}

pub(super) struct Watch {
    orders: Lines<BufReader<tokio::net::UnixStream>>,
    reports: UnixStream,
    leash: Leash,
    /// From the loss of the term to SIGKILL.
    margin: Duration,
    grace: Duration,
    alarm: Alarm,
    endings: Endings,
    /// Their handlers swallow them. What is ignored stays so, for the command inherits that and no handler.
    _swallowed: Vec<unix::Signal>,
}

/// The command, as the guard sees it.
struct Command {
    pid: Pid,
    /// Its status, once it has ended. What it has started may live on.
    status: Option<u8>,
    asked_to_end: bool,
    by_itself: bool,
    /// What it has left behind was asked to end.
    rest_was_asked: bool,
}

impl Watch {
    pub(super) fn new(control: UnixStream, lease: Duration, grace: Duration) -> io::Result<Watch> {
        control.set_nonblocking(true)?;
        let reports = control.try_clone()?;
        let orders = tokio::net::UnixStream::from_std(control)?;
        let swallowed = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        Ok(Watch {
            orders: BufReader::new(orders).lines(),
            reports,
            // Not yet extended: nothing may run.
            leash: Leash::until(Instant::from_nanos(0), Duration::ZERO),
            margin: margin(lease),
            grace,
            alarm: Alarm::new(),
            endings: Endings::listen()?,
            _swallowed: swallowed
                .into_iter()
                .filter(|kind| !processes::ignores(kind.as_raw_value()))
                .map(signal)
                .collect::<io::Result<_>>()?,
        })
    }

    /// Whether the command may begin. On a busy machine the time of the first order may be over when it is read:
    /// the next one counts.
    pub(super) async fn may_begin(&mut self) -> io::Result<bool> {
        while let Some(line) = self.orders.next_line().await? {
            match line.parse() {
                Ok(Order::Until(until)) => self.leash = Leash::until(until, self.margin),
                Ok(Order::End { .. }) => {
                    self.report(Report::Ended(Ended {
                        status: crate::exit::OURSELVES,
                        by_itself: false,
                    }));
                    return Ok(false);
                }
                Err(_) => {}
            }
            if self.leash.demand(clock::now(), true) == Demand::Run {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn until_all_is_dead(
        &mut self,
        command: Pid,
        ready: Option<impl Future<Output = ()>>,
    ) -> io::Result<()> {
        let mut command = Command {
            pid: command,
            status: None,
            asked_to_end: false,
            by_itself: false,
            rest_was_asked: false,
        };
        self.report(Report::Started {
            group: command.pid.as_raw_nonzero().get(),
        });
        self.hear_what_was_said().await;
        let ready = async {
            match ready {
                Some(ready) => ready.await,
                None => std::future::pending().await,
            }
        };
        let mut ready = std::pin::pin!(ready);
        let mut is_ready = false;
        let mut is_cut_off = false;
        while command.lives()? {
            let now = clock::now();
            if command.by_itself && self.leash.demand(now, true) == Demand::Run {
                self.leash.end(now, self.grace);
            }
            let demand = self.leash.demand(now, true);
            command.obey(demand);
            let due = match demand {
                Demand::Drop | Demand::Abort => now + SWEEP,
                Demand::Run | Demand::End => self.leash.next(now),
            };
            self.endings.watch(&command.children());
            tokio::select! {
                order = self.orders.next_line(), if !is_cut_off => match order {
                    Ok(Some(line)) => self.order(&line),
                    Ok(None) | Err(_) => {
                        is_cut_off = true;
                        // Nobody extends any more: at once.
                        self.leash.end(Instant::from_nanos(0), Duration::ZERO);
                    }
                },
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    self.report(Report::Ready);
                }
                () = self.endings.next() => {}
                () = self.alarm.at(due) => {}
            }
        }
        self.report(Report::Ended(Ended {
            status: command.status.unwrap_or(crate::exit::OURSELVES),
            by_itself: command.by_itself,
        }));
        Ok(())
    }

    /// To start the command takes a while on a busy machine, and the time of the order that let it begin may be over by
    /// then: the newest counts, if it was not asked to end.
    async fn hear_what_was_said(&mut self) {
        tokio::task::yield_now().await;
        while let Some(Ok(Some(line))) = self.orders.next_line().now_or_never() {
            match line.parse() {
                Ok(Order::Until(until)) => self.leash = Leash::until(until, self.margin),
                _ => return self.order(&line),
            }
        }
    }

    fn order(&mut self, line: &str) {
        let now = clock::now();
        match line.parse() {
            Ok(Order::Until(until)) => self.leash.extend(now, until),
            Ok(Order::End { grace }) => self.leash.end(now, grace),
            // Who cannot be understood is not obeyed, and so extends nothing.
            Err(_) => {}
        }
    }

    /// Where nobody listens any more, the end of the connection says what there is to say.
    fn report(&mut self, report: Report) {
        let _ = self.reports.write_all(report.to_string().as_bytes());
    }
}

impl Command {
    /// Whether it lives, or anything that it has started.
    fn lives(&mut self) -> io::Result<bool> {
        let lives = loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    self.by_itself = !self.asked_to_end;
                    self.asked_to_end = true;
                    self.status = Some(shell_status(status));
                }
                Ok(Some(_)) => {}
                Ok(None) => break true,
                Err(Errno::CHILD) => break self.group_lives(),
                Err(error) => return Err(error.into()),
            }
        };
        // Its daemons have nobody else to tell them.
        if lives && self.status.is_some() && !self.rest_was_asked {
            self.rest_was_asked = true;
            self.ask();
        }
        Ok(lives)
    }

    /// Whose end may be that of all: the command, then whatever of it this process has adopted. What one of these
    /// leaves behind is adopted before its own end is seen.
    fn children(&self) -> Vec<Pid> {
        match self.status {
            None => vec![self.pid],
            Some(_) => processes::children(getpid()).unwrap_or_default(),
        }
    }

    /// Where orphans are adopted, a process without children has no descendants.
    fn group_lives(&self) -> bool {
        !processes::ORPHANS_ARE_ADOPTED
            && rustix::process::test_kill_process_group(self.pid).is_ok()
    }

    fn obey(&mut self, demand: Demand) {
        match demand {
            Demand::End if !self.asked_to_end => self.ask(),
            Demand::Run | Demand::End => {}
            Demand::Drop | Demand::Abort => {
                self.asked_to_end = true;
                // Looking through all processes takes a while where there are many.
                self.signal(&[], &[Signal::KILL]);
                self.signal(&descendants(), &[Signal::KILL]);
            }
        }
    }

    /// SIGTERM to the command's group; once the command is gone, to everything that it has left behind. What
    /// is stopped is continued, so that it can end.
    fn ask(&mut self) {
        self.asked_to_end = true;
        let left_behind = match self.status {
            Some(_) => descendants(),
            None => vec![],
        };
        self.signal(&left_behind, &[Signal::TERM, Signal::CONT]);
    }

    fn signal(&self, others: &[Pid], signals: &[Signal]) {
        // Once the command is reaped, its number may be another's where its group is empty.
        let group = (self.status.is_none() || !processes::ORPHANS_ARE_ADOPTED).then_some(self.pid);
        for &signal in signals {
            processes::signal(group, others, signal);
        }
    }
}

/// Those that cannot be seen now are found at the next look: this process ends when it has no children.
fn descendants() -> Vec<Pid> {
    processes::descendants(getpid(), &[]).unwrap_or_default()
}

fn shell_status(status: WaitStatus) -> u8 {
    let number = status
        .exit_status()
        .or_else(|| Some(128 + status.terminating_signal()?));
    number
        .and_then(|number| u8::try_from(number).ok())
        .unwrap_or(crate::exit::OURSELVES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);

    /// Nothing that the command does may overlap the next term, though it takes a while to die.
    #[test]
    fn what_nobody_extends_is_asked_to_end_and_then_killed_before_the_library_drops_its_work() {
        let contact = Instant::from_nanos(0);
        let lost = contact + LEASE * 3 / 4;
        let leash = Leash::until(lost, margin(LEASE));
        assert_eq!(leash.demand(lost, true), Demand::End);
        assert_eq!(leash.next(lost), contact + LEASE * 4 / 5);
        assert_eq!(leash.demand(contact + LEASE * 4 / 5, true), Demand::Drop);
    }
}
