//! How long an examination waits, and that it says for what.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// How long what may take.
#[derive(Clone, Copy)]
struct Limits {
    /// A check that takes longer is named.
    tell_after: Duration,
    check: Duration,
    /// All together.
    all: Duration,
}

const LIMITS: Limits = Limits {
    tell_after: Duration::from_secs(2),
    check: Duration::from_secs(10),
    all: Duration::from_secs(60),
};

pub(super) struct Patience<F> {
    waits_for: F,
    limits: Limits,
    until: Instant,
}

/// A check did not answer in time: what it was, and how long it was waited for.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) what: &'static str,
    pub(super) after: Duration,
}

impl<F: FnMut(&str)> Patience<F> {
    /// `waits_for` is called with what is waited for, once that takes long.
    pub(super) fn new(waits_for: F) -> Self {
        Patience::within(LIMITS, waits_for)
    }

    fn within(limits: Limits, waits_for: F) -> Self {
        Patience {
            waits_for,
            limits,
            until: Instant::now() + limits.all,
        }
    }

    pub(super) async fn check<T>(
        &mut self,
        what: &'static str,
        check: impl Future<Output = T>,
    ) -> Result<T, Late> {
        self.wait(what, self.limits.check, check).await
    }

    /// For a check that may take as long as `limit`, and as long as all may take at most.
    pub(super) async fn wait<T>(
        &mut self,
        what: &'static str,
        limit: Duration,
        check: impl Future<Output = T>,
    ) -> Result<T, Late> {
        let began = Instant::now();
        let until = began
            .checked_add(limit)
            .map_or(self.until, |at| at.min(self.until));
        let mut check = pin!(check);
        let quickly = until.min(began + self.limits.tell_after);
        if let Ok(answer) = timeout_at(quickly, &mut check).await {
            return Ok(answer);
        }
        (self.waits_for)(what);
        timeout_at(until, check).await.map_err(|_| Late {
            what,
            after: began.elapsed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn what_takes_long_is_named_and_all_has_an_end() {
        let milliseconds = Duration::from_millis;
        let limits = Limits {
            tell_after: milliseconds(20),
            check: milliseconds(60),
            all: milliseconds(150),
        };
        let mut heard = vec![];
        let mut patience = Patience::within(limits, |what: &str| heard.push(what.to_owned()));
        let began = Instant::now();
        assert_eq!(patience.check("quick", async { 1 }).await.unwrap(), 1);
        let slow = async { tokio::time::sleep(milliseconds(40)).await };
        assert!(patience.check("slow", slow).await.is_ok());
        for what in ["first", "second", "third", "fourth"] {
            let late = patience.check(what, pending::<()>()).await.unwrap_err();
            assert_eq!(late.what, what);
        }
        let took = began.elapsed();
        assert!(
            took >= limits.all && took < limits.all + Duration::from_secs(5),
            "{took:?}"
        );
        assert_eq!(heard, ["slow", "first", "second", "third", "fourth"]);
    }
}
