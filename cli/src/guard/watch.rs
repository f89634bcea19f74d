//! The guard's watch over the command.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pg_leader::clock;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::sleep;

use super::limits::{Demand, Limits};
use crate::message::{Ended, Order, Report};
use crate::processes;

/// What is killed is looked at so often until it is gone: what forks is found again.
const SWEEP: Duration = Duration::from_millis(2);

/// However long the lease is: a machine that wakes after it may wake in another's term.
const LONGEST_TICK: Duration = Duration::from_millis(20);

pub(super) struct Watch {
    orders: Lines<BufReader<tokio::net::UnixStream>>,
    reports: UnixStream,
    limits: Limits,
    grace: Duration,
    /// Timers stand still while the machine is suspended, the limits do not: look so often.
    tick: Duration,
    children: unix::Signal,
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
            limits: Limits::new(lease),
            grace,
            tick: (lease / 20).min(LONGEST_TICK),
            children: signal(SignalKind::child())?,
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
                Ok(Order::Until(until)) => self.limits.begin(until),
                Ok(Order::End { .. }) => {
                    self.report(Report::Ended(Ended {
                        status: crate::exit::OURSELVES,
                        by_itself: false,
                    }));
                    return Ok(false);
                }
                Err(_) => {}
            }
            if self.limits.demand(clock::now()) == Demand::Run {
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
        };
        self.report(Report::Started {
            group: command.pid.as_raw_nonzero().get(),
        });
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
            if command.by_itself && self.limits.demand(now) == Demand::Run {
                self.limits.end(now, self.grace);
            }
            let demand = self.limits.demand(now);
            command.obey(demand);
            let wait = match demand {
                Demand::Kill => SWEEP,
                _ => self.limits.next(now).since(now).min(self.tick),
            };
            tokio::select! {
                order = self.orders.next_line(), if !is_cut_off => match order {
                    Ok(Some(line)) => self.order(&line),
                    Ok(None) | Err(_) => {
                        is_cut_off = true;
                        self.limits.cut_off();
                    }
                },
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    self.report(Report::Ready);
                }
                _ = self.children.recv() => {}
                () = sleep(wait) => {}
            }
        }
        self.report(Report::Ended(Ended {
            status: command.status.unwrap_or(crate::exit::OURSELVES),
            by_itself: command.by_itself,
        }));
        Ok(())
    }

    fn order(&mut self, line: &str) {
        let now = clock::now();
        match line.parse() {
            Ok(Order::Until(until)) => self.limits.extend(now, until),
            Ok(Order::End { grace }) => self.limits.end(now, grace),
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
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => {
                    self.by_itself = !self.asked_to_end;
                    self.status = Some(shell_status(status));
                    // Its daemons have nobody else to tell them.
                    self.ask();
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                Err(Errno::CHILD) => return Ok(self.group_lives()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where orphans are adopted, a process without children has no descendants.
    fn group_lives(&self) -> bool {
        !cfg!(target_os = "linux") && rustix::process::test_kill_process_group(self.pid).is_ok()
    }

    fn obey(&mut self, demand: Demand) {
        match demand {
            Demand::End if !self.asked_to_end => self.ask(),
            Demand::Run | Demand::End => {}
            Demand::Kill => {
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
        let group = (self.status.is_none() || !cfg!(target_os = "linux")).then_some(self.pid);
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
