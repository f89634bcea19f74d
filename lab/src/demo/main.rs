//! Three processes, five mishaps, never two leaders.
//!
//! ```text
//! cargo demo                                   # on a throw-away PostgreSQL cluster
//! DATABASE_URL=postgres://… cargo demo         # on a server of yours, which is not crashed
//! cargo demo --keep                            # stays up afterwards, for psql
//! cargo demo --help
//! ```
//!
//! The demo runs itself again as three candidates, each a process of its own. The one that leads works a step each
//! millisecond and writes down the beginning and the end of each, on the clock that all processes of the machine share.
//! From these lines alone the demo measures for how long nobody was at work, and whether two ever were.

mod arguments;
mod database;
mod event;
mod play;
mod report;
mod screen;
mod signals;
mod status;
mod view;

use std::process::ExitCode;

use arguments::Arguments;
use event::Outcome;
use play::Play;
use screen::Screen;
use signals::Signals;

/// How long a leader may act on its last answered heartbeat: the default, and the unit of all bounds.
const LEASE: std::time::Duration = std::time::Duration::from_secs(1);

type Error = Box<dyn std::error::Error + Send + Sync>;

const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if let Some(ended) = pg_leader_lab::candidate::main() {
        return ended;
    }
    match Arguments::of_process() {
        Ok(arguments) => run(&arguments),
        Err(unusual) => ExitCode::from(unusual.tell()),
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> ExitCode {
    demo(arguments).await.unwrap_or_else(|error| {
        eprintln!("demo: {error}");
        ExitCode::FAILURE
    })
}

async fn demo(arguments: &Arguments) -> Result<ExitCode, Error> {
    let mut signals = Signals::listen()?;
    let screen = Screen::open(arguments.plain);
    let Some(play) = signals.unless(Play::prepare(arguments, &screen)).await else {
        return Ok(interrupted(&screen));
    };
    // What ends it, in whatever way, drops it; that ends the candidates, then the cluster.
    let mut play = play.inspect_err(|_| screen.close())?;
    let Some(performed) = signals.unless(play.perform()).await else {
        return Ok(interrupted(&screen));
    };
    screen.close();
    screen.print(&report::table(play.outcomes()));
    let all_held = performed? && play.outcomes().iter().all(Outcome::held);
    screen.print(&report::summary(play.outcomes(), all_held));
    if arguments.keep {
        screen.print(&report::worth_trying(play.database())?);
        screen.open_again();
        let kept = signals.unless(play.keep()).await;
        screen.close();
        kept.unwrap_or(Ok(()))?;
    }
    Ok(if all_held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn interrupted(screen: &Screen) -> ExitCode {
    screen.close();
    screen.print("interrupted");
    ExitCode::from(INTERRUPTED)
}
