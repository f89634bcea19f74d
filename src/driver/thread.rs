//! The driver's thread: it starts the driver again where it has panicked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::Driver;
use super::board::Board;
use crate::config::{Config, Overrun};
use crate::engine::{Engine, Input, Jitter, Setup};
use crate::error::{Error, Kind};
use crate::foreign::hands::{Hands, quietly};
use crate::foreign::log::{Entry, Log};
use crate::foreign::panics;
use crate::session::door::Door;
use crate::session::open::Postgres;
use crate::session::{Command, First};
use crate::surveyor::Surveyor;
use crate::work::watch::Watch;

/// So long the end of the driver waits for the log.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Start the driver. It ends after `Command::Shutdown`, when all is over; `done` is cancelled then. Where `first` is
/// given it also ends when the first session cannot be had, and `first` hears of that session either way.
pub(crate) fn spawn(
    config: Config,
    done: CancellationToken,
    first: Option<First>,
) -> Result<(UnboundedSender<Command>, Hands), Error> {
    let timings = config.timings()?;
    let thread = |error| Error::caused(Kind::Thread, error);
    let hands = Hands::start(2).map_err(thread)?;
    hands.give(panics::install);
    let log = Log::start().map_err(thread)?;
    let watch = Watch::start(&timings, config.overrun).map_err(thread)?;
    let (sender, commands) = unbounded_channel();
    let commands_to = sender.clone();
    let hands_of_driver = hands.clone();
    let done = Done(done);
    let start = move || {
        panics::keep_to_this_thread();
        // Last of all, come what may.
        let done = done;
        let setup = Setup {
            timings: timings.clone(),
            aborts: config.overrun == Overrun::Abort,
            fails_fast: first.is_some(),
        };
        let driver = Driver {
            engine: Engine::new(setup, seed()),
            surveyor: Surveyor::new(&config, &timings, &log),
            door: Postgres {
                config,
                timings: timings.clone(),
                log: log.clone(),
            },
            timings,
            commands,
            sender,
            board: Board::default(),
            watch: Arc::clone(&watch.0),
            hands: hands_of_driver,
            log,
            opening: None,
            line: None,
            happened: None,
            overtaken: false,
            said: vec![],
            first,
            refusal: None,
            finished: false,
            #[cfg(feature = "testing")]
            panic_at: None,
        };
        driver.live();
        drop(watch);
        // Nothing of a driver is left that a waker could hold up.
        drop(done);
    };
    let builder = std::thread::Builder::new().name("pg-leader".to_owned());
    builder.spawn(start).map_err(thread)?;
    Ok((commands_to, hands))
}

/// All is over once this is dropped.
struct Done(CancellationToken);

impl Drop for Done {
    fn drop(&mut self) {
        quietly(|| self.0.cancel());
    }
}

pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) | 1
}

impl<D: Door> Driver<D> {
    /// Until all is over, however often it panics.
    fn live(mut self) {
        while !self.finished {
            let Err(why) = self.life() else { break };
            let bound = self.timings.restart(self.engine.failures());
            let delay = Jitter::new(seed()).around(bound);
            self.log.say(Entry::new(
                Level::ERROR,
                format!(
                    "the driver failed, and all terms of this process are over: {why}; starting again in \
                     {} ms",
                    delay.as_millis()
                ),
            ));
            if !self.finished {
                std::thread::sleep(delay);
            }
        }
        self.end();
    }

    /// From a start to the end, or to the panic that it tells of.
    fn life(&mut self) -> Result<(), String> {
        let ran = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let run = AssertUnwindSafe(|| runtime.block_on(self.run()));
                let ran = catch_unwind(run).map_err(panics::words);
                // A look-up that hangs must not keep the thread.
                runtime.shutdown_background();
                ran
            }
            Err(error) => {
                let why = error.to_string();
                let not_opened = self.not_opened(Error::caused(Kind::Thread, error));
                self.handle(not_opened);
                Err(why)
            }
        };
        if ran.is_err() {
            self.restart();
        }
        ran
    }

    /// A driver that panicked is put back on its engine. Whatever panics here keeps nothing else from being done.
    pub(super) fn restart(&mut self) {
        // First of all: no handle may find a term current any more, and no work may go on.
        if let Some(line) = &self.line {
            line.leash.end();
        }
        quietly(|| self.board.end_all());
        self.watch.look();
        quietly(|| self.take());
        quietly(|| self.let_go());
        quietly(|| self.opening = None);
        let running = self.board.running();
        quietly(|| self.handle(Input::Restarted { running }));
        // Not before: what the work says that was just ended is no resignation.
        while let Ok(command) = self.commands.try_recv() {
            quietly(|| self.note(command));
            quietly(|| self.take());
        }
    }

    fn end(self) {
        let Driver {
            mut commands,
            door,
            board,
            surveyor,
            first,
            refusal,
            hands,
            log,
            ..
        } = self;
        log.flush(FLUSH_LIMIT);
        commands.close();
        hands.discard((commands, board, first));
        hands.discard((door, surveyor, refusal));
    }
}
