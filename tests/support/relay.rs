//! A proxy between two Unix sockets: in threads of this process, or in a process of its own.
//!
//! The test binary runs itself again: [`main`] is called by the ignored test `relay_process`, which every
//! file that uses this must have.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pg_leader::testing::Cluster;
use rustix::process::{Pid, Signal, kill_process};

use super::cluster::socket_conninfo_at;

const ARGUMENTS: &str = "PG_LEADER_TEST_RELAY";

pub struct Relay {
    directory: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Relay {
    fn new(cluster: &Cluster) -> Relay {
        Relay {
            directory: tempfile::tempdir().expect("a directory"),
            port: cluster.port(),
            child: None,
        }
    }

    /// Threads of this process relay.
    pub fn in_this_process(cluster: &Cluster) -> Relay {
        let relay = Relay::new(cluster);
        let listener = UnixListener::bind(relay.socket()).expect("a socket");
        let server = server(cluster);
        std::thread::spawn(move || serve(&listener, &server));
        relay
    }

    /// A process of that name relays.
    pub fn called(cluster: &Cluster, name: &str) -> Relay {
        Relay::process(cluster, name, "relay")
    }

    /// A process listens, leaves the relaying to its child, and is gone.
    pub fn forked(cluster: &Cluster) -> Relay {
        Relay::process(cluster, "relay", "fork")
    }

    fn process(cluster: &Cluster, name: &str, role: &str) -> Relay {
        let mut relay = Relay::new(cluster);
        let program = relay.directory.path().join(name);
        let exe = std::env::current_exe().expect("a test binary has a path");
        symlink(exe, &program).expect("a link");
        let mut child = again(&program, role, &relay.socket(), &server(cluster))
            .stdin(Stdio::null())
            .spawn()
            .expect("a test binary can be run");
        if role == "fork" {
            child.wait().expect("it ends by itself");
        } else {
            relay.child = Some(child);
        }
        super::wait_until("the relay relays", || relay.pid().is_some());
        relay
    }

    fn socket(&self) -> PathBuf {
        self.directory
            .path()
            .join(format!(".s.PGSQL.{}", self.port))
    }

    /// The process that relays, where it is not this one.
    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.socket().with_extension("pid")).ok()?;
        Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
    }

    /// The ordinary role's.
    pub fn conninfo(&self) -> String {
        socket_conninfo_at(&self.directory.path().display(), self.port)
    }

    /// Both ends of every connection that it relays are closed.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.socket().with_extension("pid"));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

fn server(cluster: &Cluster) -> PathBuf {
    cluster
        .socket_dir()
        .join(format!(".s.PGSQL.{}", cluster.port()))
}

fn again(program: &Path, role: &str, socket: &Path, server: &Path) -> Command {
    let mut command = Command::new(program);
    let arguments = format!("{role}\n{}\n{}", socket.display(), server.display());
    command
        .args(["--exact", "relay_process", "--ignored", "--nocapture"])
        .env(ARGUMENTS, arguments)
        .stdout(Stdio::null());
    command
}

/// What the process does; returns at once where it is not one.
#[allow(
    clippy::zombie_processes,
    reason = "it is to be an orphan: whoever waits for it is gone"
)]
pub fn main() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let arguments: Vec<&str> = arguments.split('\n').collect();
    let [role, socket, server] = arguments[..] else {
        panic!("{arguments:?}")
    };
    let (socket, server) = (Path::new(socket), Path::new(server));
    let listener = if role == "child" {
        let inherited: OwnedFd = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .expect("a descriptor");
        UnixListener::from(inherited)
    } else {
        UnixListener::bind(socket).expect("a socket")
    };
    if role == "fork" {
        let exe = std::env::current_exe().expect("a test binary has a path");
        again(&exe, "child", socket, server)
            .stdin(OwnedFd::from(listener))
            .spawn()
            .expect("a test binary can be run");
        return;
    }
    let pid = format!("{}\n", std::process::id());
    fs::write(socket.with_extension("pid"), pid).expect("a file");
    serve(&listener, server);
}

fn serve(listener: &UnixListener, server: &Path) {
    while let Ok((client, _)) = listener.accept() {
        let Ok(server) = UnixStream::connect(server) else {
            continue;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (
                from.try_clone().expect("a descriptor"),
                to.try_clone().expect("a descriptor"),
            );
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}
