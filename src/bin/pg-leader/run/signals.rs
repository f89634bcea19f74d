//! The signals that end this process in order.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{self, SignalKind, signal};

pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Terminate,
    Interrupt,
    Hangup,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.hangup.recv() => Signal::Hangup,
        }
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
