//! From a query of the protocol to its statement, and from the rows back to its answer.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tracing::Level;

use super::log::Entry;
use super::statements::{self, Link, Request};
use crate::engine::{Answer, Ending, Heard, Instant, Key, Query, Row, Timings};
use crate::error::{Error, Kind};

/// An answer, with what it tells of elections beside the protocol.
pub(crate) struct Reply {
    pub(crate) sent: Instant,
    pub(crate) answer: Result<Answer, Error>,
    /// How elections stand, as far as the answer shows it.
    pub(crate) rows: Vec<(Key, Option<Row>)>,
    /// What ends which term.
    pub(crate) requests: Vec<(Key, u64, Request)>,
    /// The election's id, from joining it.
    pub(crate) joined: Option<(Key, i32)>,
    pub(crate) said: Vec<Entry>,
    /// The tokens of terms that have begun.
    pub(crate) tokens: Vec<(Key, Arc<str>)>,
}

pub(crate) type Asked = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What a statement needs to know beside the query.
pub(crate) struct Asker {
    pub(crate) link: Arc<Link>,
    pub(crate) instance: Arc<str>,
    pub(crate) direct: bool,
    pub(crate) timings: Timings,
    pub(crate) application: String,
    /// The elections that the query is about.
    pub(crate) elections: BTreeMap<Key, Known>,
}

/// What is known of an election when a query is sent.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<Arc<str>>,
    pub(crate) priority: i32,
    pub(crate) id: Option<i32>,
    pub(crate) request: Option<Arc<Request>>,
}

impl Asker {
    pub(crate) async fn ask(self, sent: Instant, query: Query) -> Reply {
        let mut reply = Reply {
            sent,
            answer: Ok(Answer::Done),
            rows: vec![],
            requests: vec![],
            joined: None,
            said: vec![],
            tokens: vec![],
        };
        let may_fail = query.may_fail();
        reply.answer = self.answer(query, &mut reply).await;
        if let Err(error) = &reply.answer
            && may_fail
            && !self.link.is_closed()
        {
            let message = format!("no notification was sent: {error}");
            reply.said.push(Entry::new(Level::WARN, message));
            reply.answer = Ok(Answer::Done);
        }
        reply
    }

    fn known(&self, key: Key) -> Result<&Known, Error> {
        self.elections
            .get(&key)
            .ok_or_else(|| Error::new(Kind::Unexpected(format!("{key:?}"))))
    }

    fn id(&self, key: Key) -> Result<i32, Error> {
        let id = self.known(key)?.id;
        id.ok_or_else(|| Error::new(Kind::Unexpected(format!("{key:?} was never joined"))))
    }

    fn ids(&self, keys: &[Key]) -> Result<Vec<i32>, Error> {
        keys.iter().map(|key| self.id(*key)).collect()
    }

    /// The election with this id, among those that the query is about.
    fn key_of(&self) -> impl Fn(i32) -> Result<Key, Error> + use<> {
        let ids = self.elections.iter();
        let keys: HashMap<i32, Key> = ids
            .filter_map(|(key, known)| Some((known.id?, *key)))
            .collect();
        move |id| {
            let key = keys.get(&id).copied();
            key.ok_or_else(|| {
                Error::new(Kind::Unexpected(format!("election {id} was not asked for")))
            })
        }
    }

    async fn answer(&self, query: Query, reply: &mut Reply) -> Result<Answer, Error> {
        let link = &*self.link;
        let instance = &*self.instance;
        match query {
            Query::Join { key, heard } => {
                let known = self.known(key)?;
                let candidate = statements::Candidate {
                    instance,
                    address: known.address.as_deref().unwrap_or_default(),
                    priority: known.priority,
                    lease: self.timings.lease,
                    application: &self.application,
                };
                let (id, heard) = statements::join(link, &known.name, &candidate, heard).await?;
                reply.joined = Some((key, id));
                Ok(Answer::Joined { key, heard })
            }
            Query::Campaign {
                keys,
                successor_of,
                overdue,
                heard,
            } => {
                let heard: BTreeMap<Key, Heard> = heard.into_iter().collect();
                let heard_of = |key: &Key| heard.get(key).copied().unwrap_or_default();
                let heard: Vec<Heard> = keys.iter().map(heard_of).collect();
                let campaign = statements::Campaign {
                    elections: &self.ids(&keys)?,
                    successor_of: &self.ids(&successor_of)?,
                    overdue: &self.ids(&overdue)?,
                    heard: &heard,
                };
                let limit = self.timings.silence_limit;
                let tried =
                    statements::campaign(link, &campaign, instance, self.direct, limit).await?;
                let key_of = self.key_of();
                let mut tries = vec![];
                for tried in tried {
                    let key = key_of(tried.election)?;
                    reply.rows.push((key, Some(tried.row)));
                    reply
                        .tokens
                        .extend(tried.token.map(|token| (key, token.into())));
                    tries.push((key, tried.outcome));
                }
                Ok(Answer::Campaigned { tries })
            }
            Query::TakeOffice {
                key,
                waited,
                elsewhere,
                heard,
            } => {
                let id = self.id(key)?;
                let direct = self.direct;
                let (office, token) =
                    statements::take_office(link, id, instance, direct, waited, elsewhere, heard)
                        .await?;
                reply.tokens.extend(token.map(|token| (key, token.into())));
                Ok(Answer::Office { key, office })
            }
            Query::Ready { key, term } => {
                statements::ready(link, self.id(key)?, instance, term).await?;
                Ok(Answer::Done)
            }
            Query::Prove => {
                statements::prove(link).await?;
                let step_downs = vec![];
                Ok(Answer::Heartbeat { step_downs })
            }
            Query::Heartbeat { keys } => {
                let key_of = self.key_of();
                let mut step_downs = vec![];
                for (id, term, request) in statements::heartbeat(link, &self.ids(&keys)?).await? {
                    let key = key_of(id)?;
                    reply.requests.push((key, term, request));
                    step_downs.push((key, term));
                }
                Ok(Answer::Heartbeat { step_downs })
            }
            Query::Vacate { key, term, ending } => {
                let request = match ending {
                    Ending::SteppedDown => self.known(key)?.request.as_deref(),
                    _ => None,
                };
                let done = statements::vacate(link, self.id(key)?, instance, term, ending, request)
                    .await?;
                Ok(Answer::Vacated { key, term, done })
            }
            Query::Release {
                leadership,
                succession,
                silence_limit,
            } => {
                let (leadership, succession) = (self.ids(&leadership)?, self.ids(&succession)?);
                statements::release(link, &leadership, &succession, silence_limit).await?;
                Ok(Answer::Done)
            }
            Query::Announce { keys } => {
                let limit = self.timings.announce_limit();
                statements::announce(link, &self.ids(&keys)?, limit).await?;
                Ok(Answer::Done)
            }
            Query::Read => {
                let names: Vec<&str> = self.elections.values().map(|known| &*known.name).collect();
                let mut found = statements::read(link, &names, instance).await?;
                let mut views = vec![];
                for (key, known) in &self.elections {
                    let (row, view) = found.remove(&*known.name).unzip();
                    reply.rows.push((*key, row));
                    views.extend(view.map(|view| (*key, view)));
                }
                Ok(Answer::Read { views })
            }
            Query::Leave { key } => {
                // Never joined: nothing to take back.
                if let Some(id) = self.known(key)?.id {
                    statements::leave(link, id, instance).await?;
                }
                Ok(Answer::Left { key })
            }
            Query::BackendGone { key, term } => {
                let gone = statements::backend_gone(link, self.id(key)?, term).await?;
                Ok(Answer::BackendGone { key, gone })
            }
            Query::Counters { key } => {
                let counters = statements::counters(link).await?;
                Ok(Answer::Counters { key, counters })
            }
            Query::EndFenced { key } => {
                let (ended, remaining, who) = statements::end_fenced(link, self.id(key)?).await?;
                if let Some(who) = who {
                    let known = self.known(key)?;
                    let message =
                        format!("in the way of the next term, and cannot be ended: {who}");
                    let entry = Entry::new(Level::WARN, message);
                    reply
                        .said
                        .push(entry.of(&known.name, known.address.as_ref()));
                }
                Ok(Answer::FencedEnded {
                    key,
                    ended,
                    remaining,
                })
            }
            Query::Evict { key, term } => {
                let id = self.id(key)?;
                if !statements::evict(link, id, term).await? {
                    let known = self.known(key)?;
                    let message = if statements::is_behind_pgpool(link, id, term).await? {
                        "the silent leader's session is behind pgpool-II, which would detach the server: it is \
                         left to the server's silence limit"
                    } else {
                        "the silent leader's session could not be ended: this role needs the same role as the \
                         leader's, or the schema's owner pg_signal_backend"
                    };
                    let entry = Entry::new(Level::WARN, message).term(term);
                    reply
                        .said
                        .push(entry.of(&known.name, known.address.as_ref()));
                }
                Ok(Answer::Done)
            }
        }
    }
}
