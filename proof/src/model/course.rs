//! The course of things: what happens by itself, one thing after the other.

use super::rival::sees;
use super::world::{Down, Up, World};
use super::{FOUR, LIVENESS, Model};
use crate::engine::{Answer, Input, Instant, Request};
use crate::postgres::{Cause, Part, Pid, Refusal};
use crate::tells::{all_told, begun};

/// Something that is to happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Stopped(usize),
    Hear(usize, Pid),
    Serve(Pid),
    Open(usize),
    Look(usize),
    Wake(usize),
    Leave(Pid),
    Idle,
}

impl Model {
    /// What happens next at this very moment. Everything else comes before the backends that are on their
    /// way out: others see their locks free and their end not yet counted.
    pub(super) fn pending(&self, world: &World) -> Option<Pending> {
        let hosts = || {
            let hosts = world.hosts.iter().enumerate();
            hosts.filter(|(_, host)| host.machine.is_some() && !host.paused)
        };
        let stopped = hosts().find(|(_, host)| host.stopped.is_some());
        if let Some((index, _)) = stopped {
            return Some(Pending::Stopped(index));
        }
        for (index, host) in hosts().filter(|(_, host)| !host.stalled_down) {
            let line = host
                .line
                .and_then(|pid| Some((pid, world.lines.get(&pid)?)));
            if let Some((pid, _)) = line.filter(|(_, line)| line.brings()) {
                return Some(Pending::Hear(index, pid));
            }
        }
        for (&pid, line) in &world.lines {
            let flows = !world.hosts[line.host].stalled_up && !line.swallowed;
            if flows && line.half.is_none() && !line.up.is_empty() {
                return Some(Pending::Serve(pid));
            }
        }
        for (index, host) in hosts() {
            // Who finds the server down tries until it is up.
            let here = world.server.is_up() && !host.moved;
            if host.connecting && here && !host.stalled_up && !host.stalled_down {
                return Some(Pending::Open(index));
            }
        }
        if let Some((index, _)) = hosts().find(|(_, host)| sees(host)) {
            return Some(Pending::Look(index));
        }
        for (index, host) in hosts() {
            let machine = host.machine.as_ref();
            let deadline = machine.map_or(Instant::NEVER, |machine| machine.poll_timeout());
            if deadline <= host.clock(world.now) {
                return Some(Pending::Wake(index));
            }
        }
        if let Some(pid) = world.server.leaving().next() {
            return Some(Pending::Leave(pid));
        }
        (world.server.idle_deadline() <= world.now).then_some(Pending::Idle)
    }

    pub(super) fn go(&self, world: &mut World) {
        if self.pending(world).is_none()
            && let Some(moment) = self.next_moment(world)
        {
            world.now = moment;
        }
        match self.pending(world) {
            Some(Pending::Stopped(index)) => self.told_of_the_stop(world, index),
            Some(Pending::Hear(index, pid)) => self.hear(world, index, pid),
            Some(Pending::Serve(pid)) => self.serve(world, pid),
            Some(Pending::Open(index)) => self.open(world, index),
            Some(Pending::Look(index)) => self.look(world, index),
            Some(Pending::Wake(index)) => {
                self.tell(world, index, Input::Timer);
                let again = self.pending(world) == Some(Pending::Wake(index));
                if again {
                    world.note(|| format!("P{index} wants to be woken again at once"));
                    world.broken = Some(LIVENESS);
                }
            }
            Some(Pending::Leave(pid)) => world.server.leave_list(pid),
            Some(Pending::Idle) => {
                world.note(|| "the server ends a silent session".to_owned());
                world.server.end_idle(world.now);
            }
            None => {}
        }
    }

    /// When something is to happen again; `None`: never.
    pub(super) fn next_moment(&self, world: &World) -> Option<Instant> {
        let hosts = world.hosts.iter().filter(|host| !host.paused);
        let wakes = hosts.filter_map(|host| {
            let machine = host.machine.as_ref()?;
            Some(host.global(machine.poll_timeout()))
        });
        let next = wakes.min().unwrap_or(Instant::NEVER);
        let next = next.min(world.server.idle_deadline());
        (next != Instant::NEVER).then_some(next)
    }

    /// The server takes the next thing that a session has sent.
    fn serve(&self, world: &mut World, pid: Pid) {
        let up = world
            .lines
            .get_mut(&pid)
            .and_then(|line| line.up.pop_front());
        match up {
            Some(Up::Request(request)) => {
                self.watch(world, pid, &request);
                let answer = world.server.execute(world.now, pid, &request);
                if let Ok(answer) = &answer {
                    self.begins(world, first_begun(answer));
                }
                self.answered(world, pid, answer);
            }
            Some(Up::Close) => {
                world.note(|| format!("the server sees backend {pid}'s client gone"));
                world.server.end(pid, Cause::Client);
            }
            None => {}
        }
    }

    /// The server refuses the next request's only election.
    pub(super) fn refuse(&self, world: &mut World, index: usize) {
        let Some(pid) = world.hosts[index].line else {
            return;
        };
        let line = world.lines.get_mut(&pid);
        let up = line.and_then(|line| line.up.pop_front());
        if let Some(Up::Request(request)) = up {
            let part = Part::of(&request, 1, Some(0));
            let answer = world.server.execute(world.now, pid, &part.request);
            self.answered(world, pid, answer.map(|answer| part.answer(answer)));
        }
    }

    /// A campaign stops half-way.
    pub(super) fn half(&self, world: &mut World, index: usize) {
        let Some(pid) = world.hosts[index].line else {
            return;
        };
        let line = world.lines.get_mut(&pid);
        let up = line.and_then(|line| line.up.pop_front());
        if let Some(Up::Request(Request::Campaign(bids))) = up {
            match world.server.begin_campaign(world.now, pid, &bids.of) {
                Ok(half) => {
                    // Others may hear of it before the second half.
                    self.begins(world, half.begun());
                    if let Some(line) = world.lines.get_mut(&pid) {
                        line.half = Some(half);
                    }
                }
                Err(refusal) => self.answered(world, pid, Err(refusal)),
            }
        }
    }

    /// And goes on.
    pub(super) fn whole(&self, world: &mut World, index: usize) {
        let lines = world
            .lines
            .iter_mut()
            .filter(|(_, line)| line.host == index);
        let half = lines
            .filter_map(|(&pid, line)| Some((pid, line.half.take()?)))
            .next();
        if let Some((pid, half)) = half {
            let has_begun = half.begun().is_some();
            let answer = world.server.finish_campaign(world.now, pid, half);
            if let Ok(answer) = &answer
                && !has_begun
            {
                self.begins(world, first_begun(answer));
            }
            self.answered(world, pid, answer);
        }
    }

    fn begins(&self, world: &mut World, begun: Option<u64>) {
        if let Some(term) = begun {
            world.note(|| format!("term {term} begins"));
            world.begins(term);
        }
    }

    fn answered(&self, world: &mut World, pid: Pid, answer: Result<Answer, Refusal>) {
        let Some(line) = world.lines.get_mut(&pid) else {
            return;
        };
        line.down.push_back(match answer {
            Ok(answer) => {
                let told = all_told(&answer, world.server.tables()).into_iter();
                let told = told.map(|(_, term)| term).max().unwrap_or(0);
                Down::Answer { answer, told }
            }
            Err(Refusal(why)) => Down::Refusal(why),
        });
    }

    /// An orderly release never precedes the end of the work (invariant 4).
    fn watch(&self, world: &mut World, pid: Pid, request: &Request) {
        let host = &world.hosts[world.lines[&pid].host];
        let early = host.work.as_ref().is_some_and(|work| match request {
            Request::Vacate(vacates) => vacates.of.iter().any(|vacate| vacate.term == work.term),
            Request::Release { leadership, .. } => !leadership.is_empty() && work.line == pid,
            _ => false,
        });
        if early {
            world.broken = Some(FOUR);
        }
    }
}

/// The term that has begun with this answer.
fn first_begun(answer: &Answer) -> Option<u64> {
    begun(answer).pop().map(|(_, term)| term)
}
