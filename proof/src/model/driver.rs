//! What is around an engine: its connections, its work, and what goes wrong with them.
//!
//! As with the shipped driver, answers and notifications come in order and before the clock is looked
//! at, an end of the connection comes after them, work holds a duplicate of its session's socket.

use std::sync::Arc;

use super::world::{Down, ELECTION, KEY, Line, Panics, Rival, Up, Work, World};
use super::{DriverFlaw, Model};
use crate::engine::{
    Answer, Candidature, Counters, Input, Notification, Output, Request, Stop, Try,
};
use crate::postgres::{Caller, Pid};
use crate::tells::done;

impl Model {
    /// Take something to the engine of a process, and do what it wants.
    pub(super) fn tell(&self, world: &mut World, index: usize, input: Input) {
        let now = world.hosts[index].clock(world.now);
        let Some(mut machine) = world.hosts[index].machine.take() else {
            return;
        };
        machine.handle(now, input);
        let panics = world.hosts[index].panics.take();
        if panics == Some(Panics::Rules) {
            machine.interrupt();
        }
        let mut alive = true;
        while alive
            && panics != Some(Panics::Rules)
            && let Some(output) = machine.poll()
        {
            alive = self.perform(world, index, output);
            if panics.is_some() {
                break;
            }
        }
        if alive {
            world.hosts[index].machine = Some(machine);
        }
        if alive && panics.is_some() {
            self.panic(world, index);
        }
    }

    /// False where that was the end of the process.
    fn perform(&self, world: &mut World, index: usize, output: Output) -> bool {
        match output {
            Output::Open { .. } => world.hosts[index].connecting = true,
            Output::Look { .. } => self.begin_to_look(world, index),
            Output::Send(request) => {
                let now = world.hosts[index].clock(world.now);
                if let Some(pid) = world.hosts[index].line {
                    world.note(|| format!("P{index} sends {}", brief(&request)));
                    if let Some(line) = world.lines.get_mut(&pid) {
                        line.in_flight.push_back(now);
                        line.up.push_back(Up::Request(request));
                    }
                }
            }
            Output::LetGo | Output::Goodbye => self.hang_up(world, index),
            Output::Start { term, .. } => {
                if let Some(line) = world.hosts[index].line {
                    world.note(|| format!("P{index} STARTS the work of term {term}"));
                    // Whoever has won the lock since can have seen it, and must.
                    let knows = |rival: Rival| rival.found != Some(line);
                    if world.hosts[index].saw || world.rival.is_some_and(knows) {
                        world.broken = Some(super::ONE);
                    }
                    let host = &mut world.hosts[index];
                    let now = host.clock(world.now);
                    let hold_off = self.timings.retry_interval * 3 / 4;
                    if host.ended.is_some_and(|at| now.since(at) < hold_off) {
                        world.broken = Some(super::HOLD_OFF);
                    }
                    (host.began, host.ended) = (now, None);
                    let work = Work {
                        term,
                        line,
                        cancelled: None,
                    };
                    if world.hosts[index].work.replace(work).is_some() {
                        world.broken = Some(super::ONE);
                    }
                }
            }
            Output::Cancel { .. } => {
                world.note(|| format!("P{index} tells its work to stop"));
                let now = world.now;
                if let Some(work) = &mut world.hosts[index].work {
                    work.cancelled.get_or_insert(now);
                }
            }
            Output::Drop { .. } if self.bounds.stubborn => {
                world.note(|| format!("P{index} cannot drop its work"));
            }
            Output::Drop { .. } => self.stop_work(world, index, Stop::Dropped),
            Output::Abort => {
                world.note(|| format!("P{index} aborts"));
                self.kill(world, index);
                return false;
            }
            Output::Extend { .. }
            | Output::Begin { .. }
            | Output::Publish { .. }
            | Output::Resigned { .. }
            | Output::Left { .. }
            | Output::Finished { .. }
            | Output::Tell(_) => {}
        }
        true
    }

    /// The application becomes a candidate.
    pub(super) fn join(&self, world: &mut World, index: usize) {
        let candidature = Candidature {
            election: ELECTION.into(),
            number: 1,
            address: "a".into(),
            priority: 0,
            autopsy: !self.bounds.always_wait,
            graceful: true,
        };
        let key = KEY;
        self.tell(world, index, Input::Join { key, candidature });
    }

    /// Let go of the session. While work runs its socket stays open.
    pub(super) fn hang_up(&self, world: &mut World, index: usize) {
        world.hosts[index].looking = None;
        let Some(pid) = world.hosts[index].line.take() else {
            return;
        };
        world.note(|| format!("P{index} lets go of its session"));
        if let Some(line) = world.lines.get_mut(&pid) {
            line.down.clear();
        }
        let works = world.hosts[index].work.as_ref();
        let holds = works.is_some_and(|work| work.line == pid);
        if !holds || self.driver_flaw == Some(DriverFlaw::SocketClosedEarly) {
            close(world, pid);
        }
    }

    /// The work has stopped: it lets go of the socket first, and says so then.
    pub(super) fn stop_work(&self, world: &mut World, index: usize, stop: Stop) {
        let Some(work) = world.hosts[index].work.take() else {
            return;
        };
        world.note(|| format!("P{index} STOPPED the work of term {}", work.term));
        if world.hosts[index].line != Some(work.line) {
            close(world, work.line);
        }
        world.hosts[index].stopped = Some((work.term, stop));
    }

    /// The process is gone, and its kernel closes what it had.
    pub(super) fn kill(&self, world: &mut World, index: usize) {
        let host = &mut world.hosts[index];
        host.machine = None;
        host.paused = false;
        host.panics = None;
        host.ended = None;
        host.work = None;
        host.stopped = None;
        host.connecting = false;
        host.looking = None;
        host.line = None;
        let lines = world.lines.iter();
        let its: Vec<Pid> = lines
            .filter(|(_, line)| line.host == index)
            .map(|(&pid, _)| pid)
            .collect();
        for pid in its {
            close(world, pid);
        }
    }

    /// Whatever drives the engine panics, and is put back on it without a session. Of what it was to do nothing is
    /// done.
    pub(super) fn panic(&self, world: &mut World, index: usize) {
        world.note(|| format!("P{index} PANICS"));
        self.hang_up(world, index);
        let host = &mut world.hosts[index];
        host.connecting = false;
        // Rules that panic forget whom they let come first.
        host.ended = None;
        let work = host.work.as_ref();
        // What has stopped and was not told of runs no more.
        host.stopped = None;
        let running = work.map(|work| (KEY, work.term)).into_iter().collect();
        self.tell(world, index, Input::Restarted { running });
    }

    /// A session for a process that wants one.
    pub(super) fn open(&self, world: &mut World, index: usize) {
        world.hosts[index].connecting = false;
        if self.chooses_the_other(world, index) {
            return;
        }
        let caller = Caller {
            instance: index as u64 + 1,
            direct: self.bounds.direct,
            lease: self.timings.lease,
            silence_limit: self.timings.silence_limit,
        };
        let (now, patience) = (world.now, self.timings.patience());
        match world.server.connect(now, caller, patience) {
            Some(pid) => {
                world.note(|| format!("P{index} connects as backend {pid}"));
                let line = Line {
                    host: index,
                    up: [].into(),
                    down: [].into(),
                    closed: false,
                    swallowed: false,
                    proved: world.hosts[index].clock(world.now),
                    contact: world.hosts[index].clock(world.now),
                    in_flight: [].into(),
                    half: None,
                };
                world.lines.insert(pid, line);
                world.hosts[index].line = Some(pid);
                let opened = Input::Opened {
                    pid,
                    direct: self.bounds.direct,
                    instance: Arc::clone(&self.instance),
                    hosts: self.surroundings(world),
                };
                self.tell(world, index, opened);
            }
            None => {
                let refused = Input::NotOpened {
                    why: Arc::clone(&self.down),
                    schema: false,
                    outage: true,
                };
                self.tell(world, index, refused);
            }
        }
    }

    /// The next thing that the session of a process brings.
    pub(super) fn hear(&self, world: &mut World, index: usize, pid: Pid) {
        let line = world.lines.get_mut(&pid);
        let Some((down, line)) = line.and_then(|line| Some((line.down.pop_front()?, line))) else {
            return;
        };
        match down {
            Down::Answer { answer, told } => {
                if let Some(sent) = line.in_flight.pop_front() {
                    line.contact = line.contact.max(sent);
                }
                let known = &mut world.hosts[index].told;
                *known = (*known).max(told);
                world.note(|| format!("P{index} hears {}", heard(&answer)));
                self.tell(world, index, Input::Answered(answer));
            }
            Down::Notification { by, election } => {
                let notification = Notification { pid: by, election };
                self.tell(world, index, Input::Notified(vec![notification]));
            }
            Down::Refusal(why) => {
                line.in_flight.pop_front();
                world.note(|| format!("P{index} is refused: {why}"));
                self.tell(world, index, Input::Refused { why: why.into() });
            }
            Down::End => {
                world.note(|| format!("P{index} hears that its session ended"));
                self.tell(world, index, Input::Lost { why: None });
            }
        }
    }

    pub(super) fn told_of_the_stop(&self, world: &mut World, index: usize) {
        if let Some((term, stop)) = world.hosts[index].stopped.take() {
            let key = KEY;
            self.tell(world, index, Input::Stopped { key, term, stop });
        }
    }
}

/// The last descriptor of the socket is gone: the server will read to the end of what was sent.
fn close(world: &mut World, pid: Pid) {
    if let Some(line) = world.lines.get_mut(&pid)
        && !line.closed
    {
        line.closed = true;
        line.up.push_back(Up::Close);
    }
}

/// A request in a few words.
fn brief(request: &Request) -> String {
    match request {
        Request::Campaign(_) => "Campaign".to_owned(),
        Request::Prove => "a proof".to_owned(),
        Request::Heartbeat(_) => "Heartbeat".to_owned(),
        Request::Release {
            leadership,
            succession,
            ..
        } => {
            let what = match (leadership.is_empty(), succession.is_empty()) {
                (false, _) => "the leadership",
                (true, false) => "the succession",
                (true, true) => "nothing",
            };
            format!("Release of {what}")
        }
        other => format!("{other:?}"),
    }
}

/// An answer in a few words.
fn heard(answer: &Answer) -> String {
    match answer {
        Answer::Campaigned(tries) => {
            let tries = done(tries).map(|(_, one)| match &one.tried {
                Try::Held(held) => {
                    let Counters {
                        killed,
                        fatal,
                        reset,
                    } = held.counters;
                    let successor = if held.successor {
                        "the successor"
                    } else {
                        "no successor"
                    };
                    format!(
                        "held by {:?}, term {}, {successor}, counters {killed} {fatal} {reset}",
                        held.holder_pid, held.term
                    )
                }
                Try::Won(won) => format!(
                    "won, after term {} on {}, to wait for {:?}, and {:?} from the proof",
                    won.last_term,
                    if won.direct {
                        "a direct session"
                    } else {
                        "an indirect session"
                    },
                    won.wait,
                    won.elsewhere
                ),
                other => format!("{other:?}"),
            });
            tries.collect::<Vec<_>>().join("; ")
        }
        Answer::Asked(asked) if asked.is_empty() => "that it is well".to_owned(),
        Answer::Done => "that it was done".to_owned(),
        other => format!("{other:?}"),
    }
}
