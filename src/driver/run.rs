//! The loop: what happens goes to the engine.

use std::future::pending;
use std::sync::Arc;

use super::{Driver, Live};
use crate::clock;
use crate::engine::Input;
use crate::error::Error;
use crate::session::Command;
use crate::session::door::{Door, Opened, Session};
#[cfg(feature = "testing")]
use crate::testing::PanicAt;
use crate::work::shared_leash::SharedLeash;

impl<D: Door> Driver<D> {
    pub(super) async fn run(&mut self) {
        self.handle(Input::Timer);
        while !self.finished {
            self.next().await;
            self.take();
        }
    }

    async fn next(&mut self) {
        let due = self.engine.poll_timeout().since(clock::now());
        let wait = due.min(self.engine.look_every());
        let opening = async {
            match &mut self.opening {
                Some(opening) => opening.await,
                None => pending().await,
            }
        };
        let line = async {
            match &mut self.line {
                Some(line) => line.session.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            (looked, error) = self.surveyor.next() => {
                self.happened = Some(looked);
                self.hands.discard(error);
            }
            came = line => {
                self.happened = Some(came);
                #[cfg(feature = "testing")]
                if matches!(self.happened, Some(Input::Answered(_))) {
                    self.trip(PanicAt::Answer);
                }
            }
            opened = opening => self.happened = Some(self.opened(opened)),
            command = self.commands.recv() => {
                self.note(command.unwrap_or(Command::Shutdown));
                #[cfg(feature = "testing")]
                if self.happened.is_some() {
                    self.trip(PanicAt::Command);
                }
            }
            () = tokio::time::sleep(wait) => self.happened = Some(Input::Timer),
        }
    }

    pub(super) fn opened(&mut self, opened: Result<Opened<D::Session>, Error>) -> Input {
        self.opening = None;
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return self.not_opened(error),
        };
        if let Some(first) = self.first.take() {
            self.hands.give(move || drop(first.send(Ok(()))));
        }
        let leash = Arc::new(SharedLeash::new(&self.timings, clock::now()));
        let session = opened.session;
        self.line = Some(Live { session, leash });
        Input::Opened {
            pid: opened.pid,
            direct: opened.direct,
            instance: opened.instance,
            hosts: opened.hosts,
        }
    }

    /// Its cause may be what the hook for credentials said.
    pub(super) fn not_opened(&mut self, error: Error) -> Input {
        let why = error.to_string().into();
        let (schema, outage) = (error.is_of_schema(), error.is_outage());
        self.hands.discard(self.refusal.replace(error));
        Input::NotOpened {
            why,
            schema,
            outage,
        }
    }

    /// What handles and readers have is noted before anything else is done about it: a panic leaves it.
    pub(super) fn note(&mut self, command: Command) {
        #[cfg(feature = "testing")]
        match command {
            Command::Panic(PanicAt::Rules(steps)) => return self.engine.break_in(steps),
            Command::Panic(at) => return self.panic_at = Some(at),
            _ => {}
        }
        self.happened = Some(self.board.note(command));
    }

    /// Take to the engine what has happened.
    pub(super) fn take(&mut self) {
        if let Some(input) = self.happened.take() {
            self.handle(input);
        }
    }

    /// Panic here, if that was asked for.
    #[cfg(feature = "testing")]
    pub(super) fn trip(&mut self, at: PanicAt) {
        if self.panic_at == Some(at) {
            self.panic_at = None;
            panic!("as was asked for, at {at:?}");
        }
    }
}
