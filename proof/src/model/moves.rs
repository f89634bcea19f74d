//! What may happen next, and what it does.

use super::world::{Down, ELECTION, KEY, Panics, Rival, Up, World};
use super::{Fault, Model, Move};
use crate::engine::{Input, Request, Stop};
use crate::postgres::{Caller, Cause, Kind, Pid};

impl Model {
    /// Everything that may happen next.
    pub(super) fn moves(&self, world: &World, moves: &mut Vec<Move>) {
        if world.broken.is_some() || world.settled {
            return;
        }
        moves.push(Move::Go);
        // What was held up goes on after any time, but when nothing else happens in the same moment.
        if self.pending(world).is_none() {
            recoveries(world, moves);
        }
        if world.faults > 0 {
            for fault in &self.bounds.menu {
                self.faults(world, *fault, moves);
            }
        }
        if world.orders > 0 {
            orders(world, moves);
        }
    }

    fn faults(&self, world: &World, fault: Fault, moves: &mut Vec<Move>) {
        let up = world.server.is_up();
        let serving = |index: usize| self.serving(world, index).is_some();
        for (index, host) in world.hosts.iter().enumerate() {
            if host.machine.is_none() {
                continue;
            }
            let others = world.hosts.iter().filter(|host| host.machine.is_some());
            match fault {
                Fault::Pause if !host.paused => moves.push(Move::Pause(index)),
                Fault::Panic if !host.paused && host.panics.is_none() => {
                    moves.push(Move::Panic(index));
                    moves.push(Move::PanicSoon(index, Panics::Driver));
                    moves.push(Move::PanicSoon(index, Panics::Rules));
                }
                Fault::Kill if others.count() > 1 => moves.push(Move::Kill(index)),
                Fault::StallUp if !host.stalled_up => moves.push(Move::StallUp(index)),
                Fault::StallDown if !host.stalled_down => moves.push(Move::StallDown(index)),
                Fault::Cut if !host.stalled_up && !host.stalled_down => {
                    moves.push(Move::Cut(index));
                }
                Fault::Swallow if host.line.is_some_and(|pid| !world.lines[&pid].swallowed) => {
                    moves.push(Move::Swallow(index));
                }
                Fault::Killed if serving(index) => moves.push(Move::End(index, Cause::Killed)),
                Fault::Fatal if serving(index) => moves.push(Move::End(index, Cause::Fatal)),
                Fault::Proxy if serving(index) => moves.push(Move::Proxy(index)),
                Fault::Half if next_is(world, index, is_campaign) => moves.push(Move::Half(index)),
                Fault::Refuse if next_is(world, index, |next| next.slice_limit().is_some()) => {
                    moves.push(Move::Refuse(index));
                }
                _ => {}
            }
        }
        match fault {
            Fault::Crash if up => moves.push(Move::Crash),
            Fault::Restart if up => moves.push(Move::ShutDown),
            Fault::Promote => {
                moves.push(Move::Promote { lossy: false });
                moves.push(Move::Promote { lossy: true });
            }
            Fault::Discard if world.server.was_promoted() => moves.push(Move::Discard),
            Fault::PromoteAnother if world.server.was_promoted() => {
                moves.push(Move::PromoteAnother);
            }
            Fault::Reset if up => moves.push(Move::Reset),
            Fault::Stranger
                if up
                    && world.stranger.is_none()
                    && world.server.holder(Kind::Leadership, ELECTION).is_none() =>
            {
                moves.push(Move::StrangerComes);
            }
            Fault::Rival if world.rival.is_none() => {
                moves.push(Move::RivalComes { higher: false });
                moves.push(Move::RivalComes { higher: true });
            }
            _ => {}
        }
    }

    /// The backend of a process that takes queries: of its session, or of one that its work keeps open.
    fn serving(&self, world: &World, index: usize) -> Option<Pid> {
        let host = &world.hosts[index];
        let work = host.work.as_ref().map(|work| work.line);
        let mut lines = [work, host.line].into_iter().flatten();
        lines.find(|&pid| world.server.serves(pid))
    }

    /// Make a move.
    pub(super) fn make(&self, world: &mut World, step: Move) {
        pay(world, step);
        match step {
            Move::Go => self.go(world),
            Move::Pause(index) => world.hosts[index].paused = true,
            Move::Wake(index) => self.wake(world, index),
            Move::Kill(index) => self.kill(world, index),
            Move::Panic(index) => self.panic(world, index),
            Move::PanicSoon(index, panics) => world.hosts[index].panics = Some(panics),
            Move::StallUp(index) => world.hosts[index].stalled_up = true,
            Move::StallDown(index) => world.hosts[index].stalled_down = true,
            Move::Cut(index) => {
                world.hosts[index].stalled_up = true;
                world.hosts[index].stalled_down = true;
            }
            Move::FlowUp(index) => world.hosts[index].stalled_up = false,
            Move::FlowDown(index) => world.hosts[index].stalled_down = false,
            Move::Swallow(index) => {
                let pid = world.hosts[index].line;
                if let Some(line) = pid.and_then(|pid| world.lines.get_mut(&pid)) {
                    line.swallowed = true;
                }
            }
            Move::End(index, cause) => {
                if let Some(pid) = self.serving(world, index) {
                    world.server.end(pid, cause);
                }
            }
            Move::Proxy(index) => {
                if let Some(pid) = self.serving(world, index) {
                    world.server.end(pid, Cause::Client);
                    if let Some(line) = world.lines.get_mut(&pid) {
                        line.swallowed = true;
                    }
                }
            }
            Move::Half(index) => self.half(world, index),
            Move::Whole(index) => self.whole(world, index),
            Move::Refuse(index) => self.refuse(world, index),
            Move::Stop(index) => self.stop_work(world, index, Stop::Returned),
            Move::Return(index) => self.end_by_itself(world, index),
            Move::Fail(index) => self.stop_work(world, index, Stop::Failed),
            Move::Resign(index) => {
                if let Some(work) = &world.hosts[index].work {
                    let term = work.term;
                    self.tell(world, index, Input::Resign { key: KEY, term });
                }
            }
            _ => self.befalls_all(world, step),
        }
        self.spread(world);
    }

    /// The work returns, and nobody has asked for it.
    fn end_by_itself(&self, world: &mut World, index: usize) {
        let host = &mut world.hosts[index];
        let now = host.clock(world.now);
        if let Some(work) = &host.work {
            let term = work.term;
            let brief = now.since(host.began) < self.timings.lease;
            host.ended = brief.then_some(now);
            self.tell(world, index, Input::EndedByItself { key: KEY, term });
        }
        self.stop_work(world, index, Stop::Returned);
    }

    /// A move that is about no process alone.
    fn befalls_all(&self, world: &mut World, step: Move) {
        match step {
            Move::Crash => world.server.crash(),
            Move::ShutDown => world.server.shut_down(),
            Move::Start => world.server.start(),
            Move::Promote { lossy } => world.server.promote(lossy),
            Move::Discard => {
                world.server.discard_promotion();
                world.forget_terms();
            }
            Move::PromoteAnother => {
                world.server.promote_another();
                world.forget_terms();
            }
            Move::Reset => world.server.reset_counters(i64::from(world.faults) + 1),
            Move::StrangerComes => {
                let patience = self.timings.lease * 1000;
                let pid = world.server.connect(world.now, Caller::STRANGER, patience);
                world.stranger = pid.filter(|&pid| world.server.take_lock(ELECTION, pid));
            }
            Move::StrangerGoes => {
                if let Some(pid) = world.stranger {
                    world.server.end(pid, Cause::Client);
                }
            }
            Move::RivalComes { higher } => {
                let found = world.server.holder(Kind::Leadership, ELECTION);
                world.rival = Some(Rival { higher, found });
            }
            Move::RivalGoes => {
                world.rival = None;
                world.hosts.iter_mut().for_each(|host| host.moved = false);
            }
            Move::StepDown => {
                world.server.step_down(ELECTION);
            }
            _ => unreachable!("{step:?} is about one process"),
        }
    }

    /// The first thing that a woken process does is to look at what has come, and so at its clock.
    fn wake(&self, world: &mut World, index: usize) {
        world.hosts[index].paused = false;
        let host = &world.hosts[index];
        let line = host
            .line
            .and_then(|pid| world.lines.get(&pid).map(|line| (pid, line)));
        match line {
            Some((pid, line)) if line.brings() && !host.stalled_down => {
                self.hear(world, index, pid)
            }
            _ => self.tell(world, index, Input::Timer),
        }
    }

    /// Bring what the server has said to whom it concerns, and forget what is over.
    fn spread(&self, world: &mut World) {
        use crate::postgres::Word;
        for (pid, word) in world.server.take_words() {
            let Some(line) = world.lines.get_mut(&pid) else {
                continue;
            };
            line.down.push_back(match word {
                Word::Notification { by, election } => Down::Notification { by, election },
                Word::End => Down::End,
            });
        }
        let (server, hosts) = (&world.server, &world.hosts);
        if world.stranger.is_some_and(|pid| !server.serves(pid)) {
            world.stranger = None;
        }
        for (&pid, line) in &mut world.lines {
            if !server.serves(pid) {
                line.up.clear();
                line.half = None;
            }
            if line.swallowed {
                line.up.clear();
                line.down.clear();
            }
            if hosts[line.host].line != Some(pid) {
                line.down.clear();
            }
        }
        world
            .lines
            .retain(|&pid, line| server.serves(pid) || hosts[line.host].line == Some(pid));
    }
}

/// What it takes of what the bounds allow.
fn pay(world: &mut World, step: Move) {
    match step {
        Move::Go => {}
        Move::Return(_) | Move::Fail(_) | Move::Resign(_) | Move::StepDown => {
            world.orders -= 1;
            world.note(|| format!("ORDER {step:?}"));
        }
        Move::Wake(_)
        | Move::FlowUp(_)
        | Move::FlowDown(_)
        | Move::Whole(_)
        | Move::Start
        | Move::StrangerGoes
        | Move::RivalGoes
        | Move::Stop(_) => world.note(|| format!("then {step:?}")),
        _ => {
            world.faults -= 1;
            world.note(|| format!("FAULT {step:?}"));
        }
    }
}

fn recoveries(world: &World, moves: &mut Vec<Move>) {
    for (index, host) in world.hosts.iter().enumerate() {
        if host.paused {
            moves.push(Move::Wake(index));
        }
        if host.stalled_up {
            moves.push(Move::FlowUp(index));
        }
        if host.stalled_down {
            moves.push(Move::FlowDown(index));
        }
        let cancelled = host.work.as_ref().and_then(|work| work.cancelled);
        if cancelled == Some(world.now) && !host.paused {
            moves.push(Move::Stop(index));
        }
        if world
            .lines
            .values()
            .any(|line| line.host == index && line.half.is_some())
        {
            moves.push(Move::Whole(index));
        }
    }
    if !world.server.is_up() {
        moves.push(Move::Start);
    }
    if world.stranger.is_some() {
        moves.push(Move::StrangerGoes);
    }
    if world.rival.is_some() {
        moves.push(Move::RivalGoes);
    }
}

fn orders(world: &World, moves: &mut Vec<Move>) {
    for (index, work) in world.working() {
        if work.cancelled.is_none() {
            moves.extend([Move::Return(index), Move::Fail(index), Move::Resign(index)]);
        }
    }
    if world.server.is_up() && world.leader().is_some() {
        moves.push(Move::StepDown);
    }
}

/// Whether the server is about to do such a request.
fn next_is(world: &World, index: usize, wanted: fn(&Request) -> bool) -> bool {
    let host = &world.hosts[index];
    let pid = host.line.filter(|_| !host.stalled_up);
    let line = pid.and_then(|pid| world.lines.get(&pid));
    line.is_some_and(|line| {
        let next = matches!(line.up.front(), Some(Up::Request(request)) if wanted(request));
        next && line.half.is_none() && !line.swallowed
    })
}

fn is_campaign(request: &Request) -> bool {
    matches!(request, Request::Campaign(_))
}

impl super::world::Line {
    /// Whether something has come for its process.
    pub(super) fn brings(&self) -> bool {
        !self.swallowed && !self.down.is_empty()
    }
}
