//! What a server does of a request: a slice of several elections ends with its time, and one of them may be refused.

use std::sync::Arc;

use crate::engine::{Answer, Id, Refused, Request, Slice, Taken};

/// What it is asked for of a request, and of what it says that it refuses it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) request: Request,
    refused: Option<Name>,
}

#[derive(Clone, Debug)]
enum Name {
    Id(Id),
    Name(Arc<str>),
}

impl Part {
    /// The first `reached` of a slice, and one at least. `refused`: the how manieth of these.
    pub(crate) fn of(request: &Request, reached: usize, refused: Option<usize>) -> Part {
        let (mut request, reached) = (request.clone(), reached.max(1));
        let of = |id: &Id| Name::Id(*id);
        let refused = match &mut request {
            Request::Join(slice) => cut(slice, reached, refused, |join| {
                Name::Name(Arc::clone(&join.name))
            }),
            Request::Read(slice) => {
                cut(slice, reached, refused, |name| Name::Name(Arc::clone(name)))
            }
            Request::Campaign(slice) => cut(slice, reached, refused, |bid| of(&bid.election)),
            Request::TakeOffice(slice) => cut(slice, reached, refused, |take| of(&take.election)),
            Request::Vacate(slice) => cut(slice, reached, refused, |vacate| of(&vacate.election)),
            Request::Ready(slice) | Request::BackendGone(slice) | Request::Evict(slice) => {
                cut(slice, reached, refused, |(id, _)| of(id))
            }
            Request::Leave(slice) | Request::EndFenced(slice) => cut(slice, reached, refused, of),
            Request::Prove
            | Request::Heartbeat(_)
            | Request::Release { .. }
            | Request::Announce(_)
            | Request::Counters => None,
        };
        Part { request, refused }
    }

    /// The answer to what it is a part of.
    pub(crate) fn answer(&self, mut answer: Answer) -> Answer {
        let refused = Refused {
            why: "the server refuses this election".into(),
            no_room: false,
            taken: Taken::default(),
        };
        match (&mut answer, &self.refused) {
            (Answer::Joined(all), Some(Name::Name(name))) => {
                all.push((Arc::clone(name), Err(refused)));
            }
            (Answer::Read(all), Some(Name::Name(name))) => {
                all.push((Arc::clone(name), Err(refused)));
            }
            (_, Some(Name::Id(id))) => match &mut answer {
                Answer::Campaigned(all) => all.push((*id, Err(refused))),
                Answer::Office(all) => all.push((*id, Err(refused))),
                Answer::Recorded(all) | Answer::Vacated(all) | Answer::Gone(all) => {
                    all.push((*id, Err(refused)));
                }
                Answer::Left(all) => all.push((*id, Err(refused))),
                Answer::Evicted(all) => all.push((*id, Err(refused))),
                Answer::FencedEnded(all) => all.push((*id, Err(refused))),
                _ => {}
            },
            _ => {}
        }
        answer
    }
}

fn cut<T>(
    slice: &mut Slice<T>,
    reached: usize,
    refused: Option<usize>,
    name: impl Fn(&T) -> Name,
) -> Option<Name> {
    slice.of.truncate(reached);
    let refused = refused.filter(|nth| *nth < slice.of.len())?;
    Some(name(&slice.of.remove(refused)))
}
