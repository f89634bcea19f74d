//! The addresses of a host, called side by side: each has a time of its own, and a dead one costs the others little.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::endpoints::{Address, Connected, Endpoints, most_telling};
use super::fitness::Ends;
use super::wire::Wire;
use crate::engine::Timings;
use crate::error::{Error, Kind};

/// A connection that is proved nothing of.
pub(super) struct Reached {
    pub(super) wire: Wire,
    pub(super) ends: Ends,
    /// It was given no startup options.
    pub(super) is_bare: bool,
    /// Its address.
    place: Address,
    /// When the time of this address is over.
    until: Instant,
}

type Call = Pin<Box<dyn Future<Output = Result<Reached, (Address, Error)>> + Send>>;

/// The addresses of one host that were not called in vain. Dropped, it closes all that it has not given away.
pub(super) struct Addresses {
    endpoints: Arc<Endpoints>,
    index: usize,
    timings: Timings,
    application_name: String,
    /// Not called yet.
    places: VecDeque<Address>,
    calling: FuturesUnordered<Call>,
    /// Those that are being called.
    silent: Vec<Address>,
    failures: Vec<(Address, Error)>,
    /// An address had nothing but what may be better at any moment: the others get no longer than until then.
    until: Option<Instant>,
}

impl Addresses {
    pub(super) async fn begin(
        endpoints: &Arc<Endpoints>,
        index: usize,
        timings: &Timings,
    ) -> Result<Addresses, Error> {
        let limit = endpoints.limit();
        let places = timeout(limit, endpoints.places(index)).await;
        let places = places.unwrap_or_else(|_| Err(no_answer(limit)))?;
        Ok(Addresses {
            endpoints: Arc::clone(endpoints),
            index,
            timings: timings.clone(),
            application_name: endpoints.application_name(index),
            places: places.into(),
            calling: FuturesUnordered::new(),
            silent: vec![],
            failures: vec![],
            until: None,
        })
    }

    /// The same, under a name that says what it is for.
    pub(super) async fn begin_to_look(
        endpoints: &Arc<Endpoints>,
        index: usize,
        timings: &Timings,
    ) -> Result<Addresses, Error> {
        let mut calls = Addresses::begin(endpoints, index, timings).await?;
        calls.application_name.push_str(" looking");
        Ok(calls)
    }

    /// The next one that answers; `None` when none is left.
    pub(super) async fn next(&mut self) -> Option<Reached> {
        let over = async |until: Option<Instant>| match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => pending().await,
        };
        tokio::select! {
            biased;
            () = over(self.until) => None,
            called = self.first() => called,
        }
    }

    /// The next address is called when the last has failed, or has said nothing for a while.
    async fn first(&mut self) -> Option<Reached> {
        loop {
            if let Some(place) = self.places.pop_front() {
                self.call(place);
            }
            if self.calling.is_empty() {
                return None;
            }
            let turn = async {
                if self.places.is_empty() {
                    pending().await
                } else {
                    sleep(self.timings.next_address()).await;
                }
            };
            let called = tokio::select! {
                biased;
                called = self.calling.next() => called,
                () = turn => None,
            };
            match called {
                Some(Ok(called)) => {
                    self.silent.retain(|place| *place != called.place);
                    return Some(called);
                }
                Some(Err((place, error))) => {
                    self.silent.retain(|silent| *silent != place);
                    self.failures.push((place, error));
                }
                None => {}
            }
        }
    }

    fn call(&mut self, place: Address) {
        self.silent.push(place);
        let (endpoints, index) = (Arc::clone(&self.endpoints), self.index);
        let (timings, name) = (self.timings.clone(), self.application_name.clone());
        let limit = endpoints.limit();
        let until = Instant::now() + limit;
        self.calling.push(Box::pin(async move {
            let connected = endpoints.connect(index, place, &name, &timings);
            match timeout_at(until, connected).await {
                Ok(Ok(Connected {
                    wire,
                    ends,
                    is_bare,
                })) => Ok(Reached {
                    wire,
                    ends,
                    is_bare,
                    place,
                    until,
                }),
                Ok(Err(error)) => Err((place, error)),
                Err(_) => Err((place, no_answer(limit))),
            }
        }));
    }

    /// What `asking` brings of the one that was called at this place, within the time of its address. A failure is noted.
    pub(super) async fn within<T>(
        &mut self,
        (place, until): (Address, Instant),
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let limit = self.endpoints.limit();
        let asked = timeout_at(until, asking).await;
        match asked.unwrap_or_else(|_| Err(no_answer(limit))) {
            Ok(it) => Some(it),
            Err(error) => {
                if error.is_outage() {
                    self.hurry();
                }
                self.failures.push((place, error));
                None
            }
        }
    }

    /// One of them is there, and is not what is looked for: the others are not waited for as long as if all were silent.
    pub(super) fn hurry(&mut self) {
        let until = Instant::now() + self.timings.query_limit();
        self.until.get_or_insert(until);
    }

    /// Why there is none.
    pub(super) fn error(mut self) -> Error {
        let limit = self.endpoints.limit();
        let uncalled = self.places.drain(..).chain(self.silent.drain(..));
        let uncalled = uncalled.map(|place| {
            let why = "no answer yet, and another address has one".to_owned();
            (place, Error::new(Kind::Unreachable(why)))
        });
        let mut failures: Vec<_> = self.failures.drain(..).chain(uncalled).collect();
        if failures.len() <= 1 {
            let last = failures.pop();
            return last.map_or_else(|| no_answer(limit), |(_, error)| error);
        }
        let refused = failures.iter().all(|(_, error)| error.is_refusal());
        let named = failures.into_iter();
        let error = most_telling(named.map(|(place, why)| (place.to_string(), why)).collect());
        match error.what() {
            // Nobody listens, at any of them.
            Kind::Unreachable(why) if refused => {
                let refusal = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                Error::caused(Kind::Unreachable(why.clone()), refusal)
            }
            _ => error,
        }
    }
}

impl Reached {
    /// Which address it is, and when its time is over.
    pub(super) fn turn(&self) -> (Address, Instant) {
        (self.place, self.until)
    }
}

pub(super) fn no_answer(limit: Duration) -> Error {
    Error::new(Kind::Unreachable(format!("no answer within {limit:?}")))
}
