//! The panic hook is the application's, or std's, which writes to stderr. Both may block, before anything is
//! unwound. So a panic of a thread that decides when work stops does not go there.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{set_hook, take_hook};
use std::sync::Once;

use super::hands::quietly;

thread_local! {
    static KEPT: Cell<bool> = const { Cell::new(false) };
    /// Where this thread has panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// This thread says itself that it has panicked.
pub(crate) fn keep_to_this_thread() {
    KEPT.set(true);
}

/// Once a process, around the hook that is there. May wait for whoever panics at this moment.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !KEPT.try_with(Cell::get).unwrap_or(false) {
                return hook(panic);
            }
            let place = panic.location().map(ToString::to_string);
            let _ = PLACE.try_with(|last| {
                if let Ok(mut last) = last.try_borrow_mut() {
                    *last = place.unwrap_or_default();
                }
            });
        }));
    });
}

/// What this thread has panicked with, and where, as far as the hook was asked.
pub(crate) fn words(panic: Box<dyn Any + Send>) -> String {
    let words = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(words), _) => (*words).to_owned(),
        (_, Some(words)) => words.clone(),
        _ => "a panic without words".to_owned(),
    };
    // Dropping it may panic.
    quietly(|| drop(panic));
    match PLACE.take() {
        place if place.is_empty() => words,
        place => format!("{words} ({place})"),
    }
}
