//! The driver's thread: it starts the driver again where it has panicked.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::trouble::Trouble;
use super::{Command, Driver, Memory};
use crate::clock;
use crate::config::Config;
use crate::engine::Process;
use crate::error::{Error, Kind};
use crate::session::hands::{Hands, quietly};
use crate::session::log::{Entry, Log};
use crate::session::panics;
use crate::session::rivals::Rivals;
use crate::session::watch::Watch;

/// Whether the first session came about.
pub(crate) type Connected = oneshot::Receiver<Result<(), Error>>;

/// So long the end of the driver waits for the log.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// A driver that panicked so often in a row no longer owes anybody more than that the work has stopped.
const STUBBORN: u32 = 3;

const BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// Start the driver. It ends after `Command::Shutdown`, when all is over; `done` is cancelled then.
pub(crate) fn spawn(
    config: Config,
    done: CancellationToken,
) -> Result<(UnboundedSender<Command>, Connected, Hands), Error> {
    let timings = config.timings()?;
    let thread = |error| Error::caused(Kind::Thread, error);
    let hands = Hands::start(2).map_err(thread)?;
    // An election has one start under way: its term is not over before that.
    let starters = Hands::without_limit(1).map_err(thread)?;
    hands.give(panics::install);
    let log = Log::start().map_err(thread)?;
    let watch = Watch::start(&timings, config.overrun).map_err(thread)?;
    let (sender, commands) = unbounded_channel();
    let (first, connected) = oneshot::channel();
    let commands_to = sender.clone();
    let hands_of_driver = hands.clone();
    let done = Done(done);
    let start = move || {
        panics::keep_to_this_thread();
        // Last of all, come what may.
        let done = done;
        let driver = Driver {
            process: Process::new(timings.clone(), seed()),
            config,
            timings,
            sender,
            watch: Arc::clone(&watch.0),
            hands: hands_of_driver,
            starters,
            log,
            memory: Memory {
                commands,
                command: None,
                elections: BTreeMap::new(),
                resigning: vec![],
                stops: false,
                first: Some(first),
                instance: None,
            },
            opening: None,
            lookout: None,
            rivals: Rivals::default(),
            trouble: Trouble::default(),
            line: None,
            early: vec![],
            said: vec![],
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
    Ok((commands_to, connected, hands))
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

impl Driver {
    /// Until all is over, however often it panics.
    fn live(mut self) {
        let mut failures = 0;
        while !self.finished {
            let began = clock::now();
            let why = match self.life(failures) {
                Ok(()) => break,
                Err(why) => why,
            };
            let lived = clock::now().since(began);
            failures = if lived > self.timings.recovered() {
                1
            } else {
                failures + 1
            };
            let delay = backoff(failures);
            self.log.say(Entry::new(
                Level::ERROR,
                format!(
                    "the driver failed, and all terms of this process are over: {why}; starting again in \
                     {} ms",
                    delay.as_millis()
                ),
            ));
            if failures >= STUBBORN {
                quietly(|| self.settle_without_session());
            }
            if self.finished {
                break;
            }
            std::thread::sleep(delay);
        }
        self.end();
    }

    /// From a start to the end, or to the panic that it tells of.
    fn life(&mut self, failures: u32) -> Result<(), String> {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let why = error.to_string();
                if let Some(first) = self.memory.first.take() {
                    self.hands.give(move || {
                        let _ = first.send(Err(Error::caused(Kind::Thread, error)));
                    });
                    self.finished = true;
                }
                return Err(why);
            }
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            if failures > 0 {
                self.recall();
            }
            runtime.block_on(self.run());
        }));
        let ran = ran.map_err(|panic| {
            // First of all.
            quietly(|| self.end_all_terms());
            quietly(|| self.lose_all());
            panics::words(panic)
        });
        shut_down(runtime);
        ran
    }

    fn end(self) {
        let Driver {
            config,
            mut memory,
            hands,
            log,
            ..
        } = self;
        log.flush(FLUSH_LIMIT);
        memory.commands.close();
        hands.discard((config, memory));
    }
}

/// A look-up that hangs must not keep the thread.
fn shut_down(runtime: Runtime) {
    runtime.shutdown_background();
}

/// Any delay up to a bound that doubles with each failure.
fn backoff(failures: u32) -> Duration {
    let bound = BACKOFF * 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    let bound = bound.min(LONGEST_BACKOFF);
    bound / 2 + bound.mul_f64((seed() % 1000) as f64 / 2000.0)
}
