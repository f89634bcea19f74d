//! The signals that end this process in order.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{self, SignalKind, signal};

use crate::platform::processes;

pub(super) struct Signals {
    terminate: Option<unix::Signal>,
    interrupt: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Terminate,
    Interrupt,
    Hangup,
}

impl Signals {
    /// What this process was started to ignore, as under nohup, it never hears.
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: heard(SignalKind::terminate())?,
            interrupt: heard(SignalKind::interrupt())?,
            hangup: heard(SignalKind::hangup())?,
        })
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = received(&mut self.terminate) => Signal::Terminate,
            _ = received(&mut self.interrupt) => Signal::Interrupt,
            _ = received(&mut self.hangup) => Signal::Hangup,
        }
    }
}

fn heard(kind: SignalKind) -> io::Result<Option<unix::Signal>> {
    if processes::ignores(kind.as_raw_value()) {
        return Ok(None);
    }
    signal(kind).map(Some)
}

/// Cancel safe.
async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

impl Signal {
    /// Who is asked to end, and does so in order, has succeeded. For the others what a shell expects.
    pub(super) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Signal::Terminate => 0,
            Signal::Hangup => 129,
            Signal::Interrupt => 130,
        })
    }
}
