//! The driver: it brings to the engine what happens, and does what comes out, on a thread of its own. It decides
//! nothing.
//!
//! Its runtime is its own too, so that a blocked application can neither starve the heartbeat nor fake it.
//! It acts first and says afterwards, and it runs nothing of the application's: what wakes, drops or calls
//! what is not ours goes to [`Hands`], what is to be said to [`Log`]. It waits for neither.

mod board;
#[cfg(test)]
mod by_hand;
mod perform;
mod run;
#[cfg(all(test, feature = "testing"))]
mod suspended;
mod thread;

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use self::board::Board;
pub(crate) use self::thread::spawn;
use crate::engine::{Engine, Input, Timings};
use crate::error::Error;
use crate::foreign::hands::Hands;
use crate::foreign::log::{Entry, Log};
use crate::session::door::{Door, Opening};
use crate::session::{Command, First};
use crate::surveyor::Surveyor;
#[cfg(feature = "testing")]
use crate::testing::PanicAt;
use crate::work::shared_leash::SharedLeash;
use crate::work::watch::Watch;

struct Driver<D: Door> {
    engine: Engine,
    door: D,
    timings: Timings,
    commands: UnboundedReceiver<Command>,
    sender: UnboundedSender<Command>,
    board: Board,
    watch: Arc<Watch>,
    hands: Hands,
    log: Log,
    surveyor: Surveyor,
    opening: Option<Opening<D::Session>>,
    line: Option<Live<D::Session>>,
    /// What has come and was not taken to the engine yet. A panic leaves it.
    happened: Option<Input>,
    /// A reader saw the terms of the session end before an answer extended them.
    overtaken: bool,
    /// What is said once all is done that one input asks for.
    said: Vec<Entry>,
    /// Hears of the first session.
    first: Option<First>,
    /// Why there was none.
    refusal: Option<Error>,
    finished: bool,
    #[cfg(feature = "testing")]
    panic_at: Option<PanicAt>,
}

/// A session, and how long its terms are current.
struct Live<S> {
    session: S,
    leash: Arc<SharedLeash>,
}
