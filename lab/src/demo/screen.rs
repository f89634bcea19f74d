//! Where it is shown: a view that is drawn in place, or plain lines.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::Term;
use pg_leader_lab::contest::Condition;

use crate::event::{Event, Outcome};
use crate::report;
use crate::status::Status;
use crate::view::{HEIGHT, Scene, frame};

const REDRAW: Duration = Duration::from_millis(100);

/// Cheap to clone. Hides no cursor and opens no second screen: there is nothing to restore, however the
/// demo ends. The cursor rests below the view, so whatever else is printed comes after it.
#[derive(Clone)]
pub(crate) struct Screen {
    canvas: Arc<Mutex<Canvas>>,
}

struct Canvas {
    terminal: Term,
    live: bool,
    open: bool,
    drawn: usize,
    scene: Scene,
}

impl Screen {
    pub(crate) fn open(plain: bool) -> Screen {
        let terminal = Term::buffered_stdout();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        let fits = usize::from(terminal.size().0) > HEIGHT;
        let live = terminal.is_term() && fits && !(plain || no_color || dumb);
        console::set_colors_enabled(live);
        let canvas = Arc::new(Mutex::new(Canvas {
            terminal,
            live,
            open: true,
            drawn: 0,
            scene: Scene::new(),
        }));
        stay_on_panic(&canvas);
        let painter = Arc::downgrade(&canvas);
        tokio::spawn(async move {
            while let Some(canvas) = painter.upgrade() {
                lock(&canvas).draw();
                drop(canvas);
                tokio::time::sleep(REDRAW).await;
            }
        });
        Screen { canvas }
    }

    /// Where all this takes place.
    pub(crate) fn introduce(&self, server: &str, election: &str) {
        self.change(|scene| {
            scene.server = server.to_owned();
            scene.election = election.to_owned();
        });
        self.say(&format!("{server}, election {election}"));
    }

    pub(crate) fn happened(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(&what);
        self.change(|scene| scene.happened(what));
    }

    pub(crate) fn candidates(&self, rows: Vec<(String, u32, Condition)>) {
        self.change(|scene| scene.candidates = rows);
    }

    pub(crate) fn status(&self, status: Option<Status>) {
        self.change(|scene| scene.status = status);
    }

    pub(crate) fn begins(&self, event: Event) {
        self.change(|scene| scene.running = Some(event));
    }

    pub(crate) fn outcome(&self, outcome: Outcome) {
        self.say(&report::sentence(&outcome));
        self.change(|scene| {
            scene.running = None;
            scene.outcomes.push(outcome);
        });
    }

    /// Take the view away; nothing is shown until it is opened again.
    pub(crate) fn close(&self) {
        let mut canvas = lock(&self.canvas);
        canvas.erase();
        canvas.open = false;
    }

    /// Without the results, which have been printed by now.
    pub(crate) fn open_again(&self) {
        self.change(|scene| scene.is_over = true);
        lock(&self.canvas).open = true;
    }

    /// Text that stays, whatever is drawn.
    pub(crate) fn print(&self, text: &str) {
        let _canvas = lock(&self.canvas);
        // Whoever has closed the other end does not want it.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// A plain line, where there is no live view.
    fn say(&self, what: &str) {
        let canvas = lock(&self.canvas);
        if canvas.open && !canvas.live {
            let elapsed = canvas.scene.elapsed().as_secs_f64();
            let _ = writeln!(std::io::stdout(), "{elapsed:6.2} s  {what}");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Scene)) {
        change(&mut lock(&self.canvas).scene);
    }
}

impl Canvas {
    fn draw(&mut self) {
        if !(self.live && self.open) {
            return;
        }
        let width = usize::from(self.terminal.size().1);
        let lines = frame(&self.scene);
        let _ = self.terminal.move_cursor_up(self.drawn);
        for line in &lines {
            // A line that wrapped would be two. Each is cleared by itself: some terminals keep in their
            // history what is cleared from the top of the screen to its end.
            let line = console::truncate_str(line, width.saturating_sub(1), "…");
            let _ = self.terminal.clear_line();
            let _ = self.terminal.write_line(&line);
        }
        let surplus = self.drawn.saturating_sub(lines.len());
        for _ in 0..surplus {
            let _ = self.terminal.clear_line();
            let _ = self.terminal.move_cursor_down(1);
        }
        let _ = self.terminal.move_cursor_up(surplus);
        self.drawn = lines.len();
        let _ = self.terminal.flush();
    }

    fn erase(&mut self) {
        if self.drawn == 0 {
            return;
        }
        // What was typed is echoed where the cursor rests.
        let _ = self.terminal.clear_line();
        let _ = self.terminal.clear_last_lines(self.drawn);
        let _ = self.terminal.flush();
        self.drawn = 0;
    }
}

/// A panic is told below the last view, which nothing draws over.
fn stay_on_panic(canvas: &Arc<Mutex<Canvas>>) {
    let canvas = Arc::downgrade(canvas);
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Not waiting for the lock: this thread may hold it.
        if let Some(canvas) = canvas.upgrade()
            && let Ok(mut canvas) = canvas.try_lock()
        {
            canvas.open = false;
        }
        tell(panic);
    }));
}

fn lock(canvas: &Mutex<Canvas>) -> MutexGuard<'_, Canvas> {
    canvas.lock().unwrap_or_else(PoisonError::into_inner)
}
