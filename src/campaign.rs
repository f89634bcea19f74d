//! How a process campaigns in one election, and what its work may return.

use std::error::Error;

use crate::error;
use crate::error::Kind;

/// What a new leader believes about the work of one that vanished without a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Takeover {
    /// That it has stopped, where the way in which its session ended proves it. The default. Assumes
    /// that nobody on the path of a direct connection forges a TCP reset.
    #[default]
    Autopsy,
    /// Nothing that rests on how its session ended: wait for the refractory period (one lease of the last
    /// term), unless its process says that the work has stopped, or the successor has watched its session
    /// silent for that lease.
    AlwaysWait,
}

/// An election, the address with which to campaign in it, and what holds for this candidacy alone. For
/// [`Elector::campaign`](crate::Elector::campaign), which takes a pair of name and address as well.
///
/// ```
/// use pg_leader::{Campaign, Takeover};
///
/// let plain = Campaign::from(("billing", "10.0.0.5:8080"));
/// let preferred = Campaign::new("billing", "10.0.0.5:8080").priority(10);
/// let careful = Campaign::new("billing", "10.0.0.5:8080").takeover(Takeover::AlwaysWait);
/// assert_eq!(plain, Campaign::new("billing", "10.0.0.5:8080"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until an elector campaigns with it"]
pub struct Campaign {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) priority: i32,
    pub(crate) takeover: Option<Takeover>,
    pub(crate) graceful: bool,
}

impl Campaign {
    /// In the election `name`, of 1 to 200 characters, with everything else at its default. `address` is what
    /// followers and observers are told: where this process can be reached. Any text of 1 to 1,000 characters, as it
    /// is; whoever shows it to people had better show [`shown`](crate::shown).
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Campaign {
            name: name.into(),
            address: address.into(),
            priority: 0,
            takeover: None,
            graceful: false,
        }
    }

    /// Who comes first when a term ends: of the live candidates the one with the highest priority. Default
    /// 0. It never ends a term: a working leader stays, whoever joins. `pgleader.transfer` is for that.
    ///
    /// It is a preference, not a promise. The leader of the term that ends comes last whatever its
    /// priority, and who ranks highest and does not take its turn is waited for a fifth of a lease.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// When to take over after a leader that vanished. Default: what
    /// [`Config::takeover`](crate::Config::takeover) says.
    pub fn takeover(mut self, takeover: Takeover) -> Self {
        self.takeover = Some(takeover);
        self
    }

    /// Whether the work is given time to stop by itself when its term ends. Default false: it is dropped at its
    /// next `.await`.
    ///
    /// Graceful work hears of the end by [`Term::ending`](crate::Term::ending),
    /// [`Term::is_ending`](crate::Term::is_ending) or a
    /// [`Term::cancellation_token`](crate::Term::cancellation_token), and returns. It is dropped only when its
    /// time is over: in an orderly end when the [grace](crate::Config::grace) is, when the term is lost at 0.85 of
    /// the lease. Nobody else leads meanwhile, so work that does not listen keeps everybody waiting for all that
    /// time.
    ///
    /// What `lead` has [spawned](crate::Term::spawn) by its term is given time as long as `lead` is. Once that has
    /// returned, failed or was dropped, they are dropped at once: so let it wait for those that must finish.
    ///
    /// ```no_run
    /// # async fn example(elector: pg_leader::Elector) -> Result<(), pg_leader::Error> {
    /// use pg_leader::Campaign;
    ///
    /// let campaign = Campaign::new("billing", "10.0.0.5:8080").graceful(true);
    /// let candidacy = elector.campaign(campaign, |term| async move {
    ///     term.ready();
    ///     while !term.is_ending() {
    ///         send_an_invoice().await; // Never cut off, but for one that takes too long.
    ///     }
    /// })?;
    /// # drop(candidacy);
    /// # async fn send_an_invoice() {}
    /// # Ok(()) }
    /// ```
    pub fn graceful(mut self, graceful: bool) -> Self {
        self.graceful = graceful;
        self
    }
}

/// Name and address, everything else at its default.
impl<N: Into<String>, A: Into<String>> From<(N, A)> for Campaign {
    fn from((name, address): (N, A)) -> Self {
        Campaign::new(name, address)
    }
}

/// That an election may have this name. PostgreSQL holds no NUL, and refuses the whole request in which it is sent.
pub(crate) fn check_name(name: &str) -> Result<(), error::Error> {
    let wrong = if !(1..=200).contains(&name.chars().count()) {
        "must have 1 to 200 characters"
    } else if name.contains('\0') {
        "must have no NUL in it"
    } else {
        return Ok(());
    };
    let what = format!("an election's name {wrong}, and this is {}", quoted(name));
    Err(error::Error::new(Kind::Name(what)))
}

/// The same of a candidate's address. Of 1,000 characters it fits a notification, of less than 8,000 bytes, together with
/// any name, even where each takes six, as control characters do in JSON.
pub(crate) fn check_address(address: &str) -> Result<(), error::Error> {
    let wrong = if address.is_empty() {
        "must not be empty"
    } else if address.chars().count() > 1000 {
        "must have no more than 1,000 characters, for a notification carries no more"
    } else if address.contains('\0') {
        "must have no NUL in it"
    } else {
        return Ok(());
    };
    let what = format!("an address {wrong}, and this is {}", quoted(address));
    Err(error::Error::new(Kind::Name(what)))
}

/// Its beginning, with what is no letter or sign escaped.
fn quoted(text: &str) -> String {
    let begin: String = text.chars().take(40).collect();
    let rest = if begin.len() < text.len() { "…" } else { "" };
    format!("{begin:?}{rest}")
}

/// What the work of a term may return, as [`Termination`](std::process::Termination) is what `main` may: nothing, or
/// a `Result` whose error says that it has failed. Work that loops until it is dropped never returns.
///
/// ```
/// # use pg_leader::Term;
/// async fn cannot_fail(term: Term) {
///     term.ready();
/// }
///
/// async fn never_returns(term: Term) -> ! {
///     loop {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///     }
/// }
///
/// async fn may_fail(term: Term) -> Result<(), std::io::Error> {
///     term.ready();
///     tokio::fs::remove_file("/tmp/leftover").await
/// }
/// # fn takes<F>(_: fn(Term) -> F) where F: Future<Output: pg_leader::LeadOutput> {}
/// # takes(cannot_fail);
/// # takes(never_returns);
/// # takes(may_fail);
/// ```
#[diagnostic::on_unimplemented(
    message = "`lead` returns `()` or a `Result`, not `{Self}`",
    note = "the error of the `Result` must convert into `Box<dyn Error + Send + Sync>`"
)]
pub trait LeadOutput {
    /// `Ok`: the term is resigned. `Err`: it has failed, and this is why. After a failure this process holds off for a
    /// retry interval, and so it does after an `Ok` that nobody had asked for and that comes sooner than a lease.
    ///
    /// # Errors
    ///
    /// What the work has failed with.
    fn report(self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl LeadOutput for () {
    fn report(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// Work that loops for ever.
#[allow(private_interfaces, reason = "the type is `!`, however it is spelled")]
impl LeadOutput for Never {
    fn report(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self
    }
}

/// The type `!`, which stable Rust lets nobody write but where a function returns it.
type Never = <fn() -> ! as Returns>::Output;

trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

impl<E: Into<Box<dyn Error + Send + Sync>>> LeadOutput for Result<(), E> {
    fn report(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_address_that_cannot_be_are_refused_in_words() {
        let said = |refused: Result<(), error::Error>| refused.unwrap_err().to_string();
        for name in ["a", &"ä".repeat(200), "a b\n"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let expected = "an election's name must have no NUL in it, and this is \"a\\0\"";
        assert_eq!(said(check_name("a\0")), expected);
        let expected = "an election's name must have 1 to 200 characters, and this is \"\"";
        assert_eq!(said(check_name("")), expected);
        let long = said(check_name(&"a".repeat(201)));
        assert!(long.ends_with("aaa\"…") && long.len() < 120, "{long}");
        assert!(check_address(&"a".repeat(1000)).is_ok());
        let long = said(check_address(&"ä".repeat(1001)));
        assert!(long.contains("no more than 1,000 characters"), "{long}");
        assert!(said(check_address("")).contains("must not be empty"));
        assert!(said(check_address("\0")).contains("no NUL in it, and this is \"\\0\""));
    }
}
