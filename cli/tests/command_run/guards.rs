//! A guard, driven by the test in the place of `pg-leader run`: what wakes it is an event, and no look at the time
//! every now and then. With a lease of an hour nothing else would come in time.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pg_leader::clock;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::runner::USUAL;
use crate::support::CEILING;

const HOUR: Duration = Duration::from_secs(3600);

/// Supervisors that wait by signalfd start what they start so.
const BLOCKED: [&str; 3] = [
    "env",
    "--default-signal=HUP,INT,TERM",
    "--block-signal=CHLD",
];

struct Guard {
    process: Child,
    reports: BufReader<UnixStream>,
    orders: UnixStream,
}

impl Guard {
    fn start(launcher: &[&str], script: &str) -> Guard {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let process = Command::new(launcher[0])
            .args(&launcher[1..])
            .arg(env!("CARGO_BIN_EXE_pg-leader"))
            .args(["guard", "--lease", "1h", "--grace", "1h"])
            .args(["--", "sh", "-c", script])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        send_descriptors(&ours);
        ours.set_read_timeout(Some(CEILING)).unwrap();
        Guard {
            process,
            reports: BufReader::new(ours.try_clone().unwrap()),
            orders: ours,
        }
    }

    /// The command may run for so long from now, and so runs.
    fn run_for(&mut self, time: Duration) {
        let until = (clock::now() + time).as_nanos();
        writeln!(self.orders, "until {until}").unwrap();
        assert!(self.report().starts_with("started "));
    }

    /// It comes in time, or not at all.
    fn report(&mut self) -> String {
        let mut line = String::new();
        let read = self.reports.read_line(&mut line);
        read.unwrap_or_else(|error| panic!("nothing wakes the guard: {error}"));
        line.trim_end().to_owned()
    }

    /// What the kernel says of each descriptor of its.
    fn descriptors(&self) -> Vec<String> {
        let all = std::fs::read_dir(format!("/proc/{}/fdinfo", self.process.id())).unwrap();
        let texts = all.map(|one| std::fs::read_to_string(one.unwrap().path()));
        texts.filter_map(Result::ok).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.orders.shutdown(std::net::Shutdown::Write);
        let _ = self.process.wait();
    }
}

/// A session's socket, and what the command reads.
fn send_descriptors(to: &UnixStream) {
    let nothing = std::fs::File::open("/dev/null").unwrap();
    let descriptors = [nothing.as_fd(), nothing.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(
        to,
        &[IoSlice::new(b"\n")],
        &mut ancillary,
        SendFlags::empty(),
    );
    sent.unwrap();
}

#[test]
fn the_end_of_the_command_wakes_the_guard_also_where_sigchld_is_blocked() {
    for launcher in [&USUAL[..], &BLOCKED] {
        let mut guard = Guard::start(launcher, "sleep 0.1; exit 3");
        guard.run_for(HOUR);
        assert_eq!(guard.report(), "ended 3 true", "{launcher:?}");
    }
}

/// The command is gone before them, and they are nobody's children until then. One ends long after the other.
#[test]
fn the_end_of_the_last_orphan_wakes_the_guard_also_where_sigchld_is_blocked() {
    let orphan = "trap 'sleep 0.3; exit' TERM; sleep 60 & wait";
    let script = format!("(setsid sh -c \"{orphan}\" &); (setsid sleep 60 &); sleep 0.1; exit 0");
    for launcher in [&USUAL[..], &BLOCKED] {
        let mut guard = Guard::start(launcher, &script);
        guard.run_for(HOUR);
        assert_eq!(guard.report(), "ended 0 true", "{launcher:?}");
    }
}

#[test]
fn the_end_of_the_time_wakes_the_guard() {
    let mut guard = Guard::start(&USUAL, "exec sleep 3600");
    let time = Duration::from_millis(500);
    let began = clock::now();
    guard.run_for(time);
    // SIGTERM, as when a term is lost.
    assert_eq!(guard.report(), "ended 143 false");
    assert!(clock::now().since(began) >= time);
}

#[test]
fn an_order_wakes_the_guard_and_so_does_the_end_of_orders() {
    let mut guard = Guard::start(&USUAL, "exec sleep 3600");
    guard.run_for(HOUR);
    writeln!(guard.orders, "end 3600000").unwrap();
    assert_eq!(guard.report(), "ended 143 false");
    let mut guard = Guard::start(&USUAL, "trap '' TERM; while :; do sleep 3600; done");
    guard.run_for(HOUR);
    guard.orders.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(guard.report(), "ended 137 false");
}

/// Other timers stand still meanwhile, and are late by as long as that took. The kernel tells the clock of each: 7 is
/// CLOCK_BOOTTIME.
#[test]
fn the_guard_waits_for_its_time_on_the_clock_that_goes_on_in_suspension() {
    let mut guard = Guard::start(&USUAL, "exec sleep 3600");
    guard.run_for(HOUR);
    // Once it has taken another order it waits again.
    let until = (clock::now() + HOUR).as_nanos();
    writeln!(guard.orders, "until {until}").unwrap();
    let began = std::time::Instant::now();
    let is_set = |told: &String| {
        told.lines().any(|line| line == "clockid: 7")
            && !told.lines().any(|line| line == "it_value: (0, 0)")
    };
    while !guard.descriptors().iter().any(is_set) {
        assert!(began.elapsed() < CEILING, "{:#?}", guard.descriptors());
        std::thread::yield_now();
    }
}
