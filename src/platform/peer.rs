//! Who is at the other end of a Unix socket: the server itself, or somebody between.
//!
//! The kernel tells which process listened on the socket. It is the server where it is the parent of the
//! session's own backend. Everything is read from `/proc`, so only on Linux; what cannot be read is a proxy.
//!
//! Not told: a process that listens for a proxy, and then becomes the server itself (`exec`).

use std::path::Path;

use tokio::net::UnixStream;

use crate::clock;
use crate::engine::Instant;

/// What a server's processes are called. Packages for Red Hat started versions up to 15 as `postmaster`.
const NAMES: [&str; 2] = ["postgres", "postmaster"];

/// The process that listened on the socket of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// 0 where it is of another pid namespace.
    pid: i32,
    /// A time before the connection was made.
    before: Instant,
}

impl Peer {
    /// `before`: a time before the connection was made.
    pub(crate) fn of(stream: &UnixStream, before: Instant) -> Peer {
        let credentials = stream.peer_cred().ok();
        Peer {
            pid: credentials.and_then(|peer| peer.pid()).unwrap_or(0),
            before,
        }
    }

    /// Whether it is the server whose backend this session talks to, and nothing is between.
    pub(crate) fn is_server_of(self, backend: i32) -> bool {
        if !cfg!(target_os = "linux") {
            return false;
        }
        let hertz = rustix::param::clock_ticks_per_second();
        let window = ticks(self.before, hertz)..=ticks(clock::now(), hertz);
        is_server(Path::new("/proc"), self.pid, backend, &window).unwrap_or(false)
    }
}

/// Rounded down, as the kernel does when it tells when a process started.
fn ticks(time: Instant, hertz: u64) -> u64 {
    let ticks = u128::from(time.as_nanos()) * u128::from(hertz) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// `None` where something cannot be read.
fn is_server(
    proc: &Path,
    peer: i32,
    backend: i32,
    window: &std::ops::RangeInclusive<u64>,
) -> Option<bool> {
    if peer <= 0 || backend <= 0 {
        return None;
    }
    let (peer_directory, backend_directory) =
        (proc.join(peer.to_string()), proc.join(backend.to_string()));
    // The numbers of another pid namespace are others' here: the socket's, the server's and those of /proc
    // must mean the same.
    for directory in [&proc.join("self"), &peer_directory, &backend_directory] {
        if !is_in_one_namespace(directory)? {
            return Some(false);
        }
    }
    let (listener, ours) = (
        Stat::read(&peer_directory)?,
        Stat::read(&backend_directory)?,
    );
    Some(
        ours.parent == peer
            && NAMES.contains(&ours.name.as_str())
            && listener.name == ours.name
            // Somebody else's process that happens to have the number is older, or not there yet.
            && window.contains(&ours.started),
    )
}

fn is_in_one_namespace(process: &Path) -> Option<bool> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(pids.split_whitespace().count() == 1)
}

struct Stat {
    name: String,
    parent: i32,
    /// In ticks since the machine started.
    started: u64,
}

impl Stat {
    fn read(process: &Path) -> Option<Stat> {
        let stat = std::fs::read_to_string(process.join("stat")).ok()?;
        // The name may itself hold parentheses and spaces.
        let (head, tail) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        Some(Stat {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A `/proc` with this process, a listener 10 and its child 11, which started at tick 500.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Machine {
            let machine = Machine(tempfile::tempdir().unwrap());
            machine.process("self", "candidate", 1, 400, "9");
            machine.process("10", "postgres", 1, 100, "10");
            machine.process("11", "postgres", 10, 500, "11");
            machine
        }

        fn process(&self, pid: &str, name: &str, parent: i32, started: u64, in_namespaces: &str) {
            let directory = self.0.path().join(pid);
            fs::create_dir_all(&directory).unwrap();
            let zeros = "0 ".repeat(17);
            let stat = format!("{pid} ({name}) S {parent} {zeros}{started} 0 0\n");
            fs::write(directory.join("stat"), stat).unwrap();
            let status = format!("Name:\t{name}\nNSpid:\t{in_namespaces}\nNSsid:\t1\n");
            fs::write(directory.join("status"), status).unwrap();
        }

        fn is_direct(&self, peer: i32) -> bool {
            is_server(self.0.path(), peer, 11, &(495..=505)).unwrap_or(false)
        }
    }

    #[test]
    fn the_parent_of_the_backend_is_the_server() {
        let machine = Machine::new();
        assert!(machine.is_direct(10));
        machine.process("10", "postmaster", 1, 100, "10");
        machine.process("11", "postmaster", 10, 500, "11");
        assert!(machine.is_direct(10));
    }

    #[test]
    fn whoever_else_listened_is_a_proxy() {
        let machine = Machine::new();
        machine.process("12", "postgres", 1, 100, "12");
        // A proxy of that name; one of another namespace; one that is gone, its child goes on.
        for peer in [12, 0, 13] {
            assert!(!machine.is_direct(peer), "{peer}");
        }
    }

    #[test]
    fn a_backend_of_another_time_or_name_is_somebody_elses() {
        let machine = Machine::new();
        for started in [494, 506] {
            machine.process("11", "postgres", 10, started, "11");
            assert!(!machine.is_direct(10), "{started}");
        }
        machine.process("11", "relay) S 10 (x", 10, 500, "11");
        assert!(!machine.is_direct(10));
        let machine = Machine::new();
        machine.process("10", "relay", 1, 100, "10");
        assert!(!machine.is_direct(10));
        machine.process("11", "relay", 10, 500, "11");
        assert!(!machine.is_direct(10));
    }

    #[test]
    fn numbers_of_several_namespaces_tell_nothing() {
        for (pid, name, parent, started, numbers) in [
            ("self", "candidate", 1, 400, "90 9"),
            ("10", "postgres", 1, 100, "10 1"),
            ("11", "postgres", 10, 500, "11 7"),
        ] {
            let machine = Machine::new();
            machine.process(pid, name, parent, started, numbers);
            assert!(!machine.is_direct(10), "{pid}");
        }
    }

    #[test]
    fn ticks_are_rounded_down() {
        assert_eq!(ticks(Instant::from_nanos(19_999_999), 100), 1);
        assert_eq!(ticks(Instant::from_nanos(20_000_000), 100), 2);
    }
}
