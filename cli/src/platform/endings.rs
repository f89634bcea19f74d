//! Children that have ended.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::task::Poll;

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};
#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[cfg(target_os = "linux")]
use super::descriptors::{aside, awaited};

/// Says when a child may have ended: by SIGCHLD, and by a descriptor of each that is watched. Whoever started this
/// process may have blocked SIGCHLD, as supervisors do that wait by signalfd, and then no signal says anything.
pub(crate) struct Endings {
    signal: Signal,
    #[cfg(target_os = "linux")]
    watched: Vec<(Pid, AsyncFd<OwnedFd>)>,
    /// A child could not be watched.
    is_blind: bool,
}

impl Endings {
    pub(crate) fn listen() -> io::Result<Endings> {
        Ok(Endings {
            signal: signal(SignalKind::child())?,
            #[cfg(target_os = "linux")]
            watched: vec![],
            is_blind: false,
        })
    }

    /// Watch these and no others. Not one of them may have been reaped: their numbers could be others' by now.
    pub(crate) fn watch(&mut self, children: &[Pid]) {
        #[cfg(target_os = "linux")]
        {
            self.watched.retain(|(pid, _)| children.contains(pid));
            self.is_blind = false;
            for &pid in children {
                if self.watched.iter().any(|(known, _)| *known == pid) {
                    continue;
                }
                match descriptor(pid) {
                    Ok(descriptor) => self.watched.push((pid, descriptor)),
                    Err(_) => self.is_blind = true,
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            self.is_blind = !children.is_empty();
        }
    }

    /// One may have ended. Cancel safe.
    pub(crate) async fn next(&mut self) {
        let is_blind = self.is_blind;
        let look = async {
            if !is_blind {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(super::TICK).await;
        };
        #[cfg(target_os = "linux")]
        let watched = &mut self.watched;
        let seen = std::future::poll_fn(|context| {
            #[cfg(target_os = "linux")]
            {
                let before = watched.len();
                // It stays readable: who was told once is not told again.
                watched.retain(|(_, child)| child.poll_read_ready(context).is_pending());
                if watched.len() < before {
                    return Poll::Ready(());
                }
            }
            let _ = context;
            Poll::Pending
        });
        tokio::select! {
            _ = self.signal.recv() => {}
            () = seen => {}
            () = look => {}
        }
    }
}

/// Readable once the process has ended, also before it is reaped.
#[cfg(target_os = "linux")]
fn descriptor(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    awaited(aside(&pidfd_open(pid, PidfdFlags::NONBLOCK)?)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn child() -> (Child, Pid) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        (child, pid)
    }

    /// Its descriptor alone, for another test's child may send the signal.
    async fn seen(endings: &mut Endings) {
        while !endings.watched.is_empty() {
            endings.next().await;
        }
    }

    #[tokio::test]
    async fn who_ends_is_seen_once_whether_or_not_a_signal_says_so() {
        let mut endings = Endings::listen().unwrap();
        let (mut first, pid) = child();
        let (mut second, other) = child();
        endings.watch(&[pid, other]);
        second.kill().unwrap();
        while endings.watched.len() > 1 {
            endings.next().await;
        }
        assert_eq!(endings.watched[0].0, pid);
        second.wait().unwrap();
        endings.watch(&[pid]);
        first.kill().unwrap();
        seen(&mut endings).await;
        first.wait().unwrap();
        assert!(!endings.is_blind);
    }

    /// It is a zombie then, and its number still its own.
    #[tokio::test]
    async fn who_has_ended_before_it_is_watched_is_seen() {
        let mut endings = Endings::listen().unwrap();
        let (mut dead, pid) = child();
        dead.kill().unwrap();
        rustix::process::waitid(
            rustix::process::WaitId::Pid(pid),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        endings.watch(&[pid]);
        assert_eq!(endings.watched.len(), 1);
        seen(&mut endings).await;
        dead.wait().unwrap();
    }

    #[tokio::test]
    async fn where_one_cannot_be_watched_it_is_looked_for() {
        let mut endings = Endings::listen().unwrap();
        let (mut gone, pid) = child();
        gone.kill().unwrap();
        gone.wait().unwrap();
        endings.watch(&[pid]);
        assert!(endings.is_blind);
        endings.next().await;
    }
}
