//! What the driver of a session does with the actions of its machine, and what it makes of what comes.
//!
//! As `src/session/driver` does it: answers and notifications come in order and before the clock is looked
//! at, an end of the connection comes after them, work holds a duplicate of its session's socket.

use super::world::{Down, KEY, Line, Up, Work, World};
use super::{Bounds, DriverFlaw, Model};
use crate::engine::{Action, Answer, Counters, Ending, Event, Notice, Query, Stop, Try};
use crate::postgres::Pid;
use crate::tells::tells;

impl Model {
    /// Take an event to the machine of a process, and do what it wants.
    pub(super) fn tell(&self, world: &mut World, index: usize, event: Event) {
        let now = world.hosts[index].clock(world.now);
        let Some(mut machine) = world.hosts[index].machine.take() else {
            return;
        };
        machine.handle(now, event);
        let mut alive = true;
        while alive && let Some(action) = machine.poll() {
            alive = self.perform(world, index, action);
        }
        if alive {
            world.hosts[index].machine = Some(machine);
        }
    }

    /// False where that was the end of the process.
    fn perform(&self, world: &mut World, index: usize, action: Action) -> bool {
        match action {
            Action::Connect => world.hosts[index].connecting = true,
            Action::Send { sent, query } => {
                if let Query::Vacate { term, ending, .. } = query {
                    world.hosts[index].owed = Some((term, ending));
                }
                if let Some(pid) = world.hosts[index].line {
                    world.note(|| format!("P{index} sends {}", brief(&query)));
                    if let Some(line) = world.lines.get_mut(&pid) {
                        line.in_flight.push_back(sent);
                        line.up.push_back(Up::Query { sent, query });
                    }
                }
            }
            Action::Abandon => self.hang_up(world, index),
            Action::Start { term, .. } => {
                if let Some(line) = world.hosts[index].line {
                    world.note(|| format!("P{index} STARTS the work of term {term}"));
                    if world.hosts[index].saw {
                        world.broken = Some(super::ONE);
                    }
                    let work = Work {
                        term,
                        line,
                        contact: world.lines[&line].contact,
                        cancelled: None,
                    };
                    if world.hosts[index].work.replace(work).is_some() {
                        world.broken = Some(super::ONE);
                    }
                }
            }
            Action::Cancel { .. } => {
                world.note(|| format!("P{index} tells its work to stop"));
                let now = world.now;
                if let Some(work) = &mut world.hosts[index].work {
                    work.cancelled.get_or_insert(now);
                }
            }
            Action::Drop { .. } if self.bounds.stubborn => {
                world.note(|| format!("P{index} cannot drop its work"));
            }
            Action::Drop { .. } => self.stop_work(world, index, Stop::Dropped),
            Action::Overrun { .. } if self.bounds.stubborn => {
                world.note(|| format!("P{index} aborts"));
                self.kill(world, index);
                return false;
            }
            Action::Finish => self.hang_up(world, index),
            Action::Tell(Notice::Vacated { .. }) => world.hosts[index].owed = None,
            Action::Publish { .. }
            | Action::GaveUp { .. }
            | Action::Overrun { .. }
            | Action::Left { .. }
            | Action::Tell(_) => {}
        }
        true
    }

    /// Let go of the session. While work runs its socket stays open.
    pub(super) fn hang_up(&self, world: &mut World, index: usize) {
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
        host.work = None;
        host.stopped = None;
        host.connecting = false;
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

    /// The driver starts again with a new machine, and remembers what work runs and what it owes. Work stops by
    /// its leash, without a machine.
    pub(super) fn panic(&self, world: &mut World, index: usize) {
        self.hang_up(world, index);
        let host = &mut world.hosts[index];
        let Some(old) = host.machine.take() else {
            return;
        };
        host.connecting = false;
        host.machine = Some(old.renewed(&self.timings));
        let work = host.work.as_ref();
        let event = Event::Return {
            key: KEY,
            autopsy: self.bounds.autopsy(),
            work: work.map(|work| (work.term, work.contact + self.timings.aborted)),
            owed: host.owed,
        };
        if !self.bounds.stubborn {
            self.stop_work(world, index, Stop::Dropped);
        }
        self.tell(world, index, event);
    }

    /// A session for a process that wants one.
    pub(super) fn open(&self, world: &mut World, index: usize) {
        world.hosts[index].connecting = false;
        if self.chooses_the_other(world, index) {
            return;
        }
        match world.server.connect(world.now, self.timings.patience()) {
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
                self.tell(world, index, Event::Connected);
            }
            None => self.tell(world, index, Event::Disconnected),
        }
    }

    /// The next thing that the session of a process brings.
    pub(super) fn hear(&self, world: &mut World, index: usize, pid: Pid) {
        let line = world.lines.get_mut(&pid);
        let Some(down) = line.and_then(|line| line.down.pop_front()) else {
            return;
        };
        match down {
            Down::Answer { sent, answer } => {
                let host = &mut world.hosts[index];
                if let Some(work) = host.work.as_mut().filter(|work| work.line == pid) {
                    work.contact = work.contact.max(sent);
                }
                if let Some((_, term)) = answer.begun().pop() {
                    host.owed = Some((term, Ending::Deposed));
                }
                if let Some(line) = world.lines.get_mut(&pid) {
                    line.contact = line.contact.max(sent);
                    if let Some(index) = line.in_flight.iter().position(|asked| *asked == sent) {
                        line.in_flight.remove(index);
                    }
                }
                let told = &mut world.hosts[index].told;
                *told = (*told).max(tells(&answer, KEY));
                world.note(|| format!("P{index} hears {}", heard(&answer)));
                self.tell(
                    world,
                    index,
                    Event::Answered {
                        sent,
                        answer,
                        rows: vec![],
                    },
                );
            }
            Down::Hint { keys } => self.tell(world, index, Event::Hint { keys }),
            Down::Refusal(why) => {
                world.note(|| format!("P{index} is refused: {why}"));
                self.hang_up(world, index);
                self.tell(world, index, Event::Disconnected);
            }
            Down::End => {
                world.note(|| format!("P{index} hears that its session ended"));
                self.hang_up(world, index);
                self.tell(world, index, Event::Disconnected);
            }
        }
    }

    pub(super) fn told_of_the_stop(&self, world: &mut World, index: usize) {
        if let Some((term, stop)) = world.hosts[index].stopped.take() {
            let key = KEY;
            self.tell(world, index, Event::WorkStopped { key, term, stop });
        }
    }
}

impl Bounds {
    pub(super) fn autopsy(&self) -> bool {
        !self.always_wait
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

/// A query in a few words.
pub(super) fn brief(query: &Query) -> String {
    match query {
        Query::Campaign { .. } => "Campaign".to_owned(),
        Query::Prove => "a proof".to_owned(),
        Query::Heartbeat { .. } => "Heartbeat".to_owned(),
        Query::Release {
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
        Answer::Campaigned { tries } => {
            let tries = tries.iter().map(|(_, tried)| match tried {
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
        Answer::Heartbeat { step_downs } if step_downs.is_empty() => "that it is well".to_owned(),
        Answer::Done => "that it was done".to_owned(),
        other => format!("{other:?}"),
    }
}
