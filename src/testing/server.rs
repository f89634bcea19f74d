//! A server process: started, awaited, stopped, killed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{Binaries, ClusterError, io};

/// Who runs the server, where it is not who runs this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Somebody but root; `None` where this process is not run by root.
    pub(crate) fn unprivileged() -> Result<Option<User>, ClusterError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").map_err(io("/etc/passwd"))?;
        let find = |name: &str| {
            let mut fields = users
                .lines()
                .find(|line| line.split(':').next() == Some(name))?
                .split(':');
            let uid = fields.nth(2)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(User { uid, gid })
        };
        find("postgres")
            .or_else(|| find("nobody"))
            .map(Some)
            .ok_or(ClusterError::NoUser)
    }

    /// A command that this user runs.
    pub(crate) fn command(user: Option<User>, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Locale and libpq's variables of whoever runs the tests must not change the cluster.
        command
            .env_remove("PGDATA")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .current_dir("/");
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Wait until `done`, for at most a minute.
pub(crate) fn wait_until(
    data: &Path,
    awaited: &'static str,
    mut done: impl FnMut() -> bool,
) -> Result<(), ClusterError> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        if Instant::now() > deadline {
            return Err(ClusterError::TimedOut {
                awaited,
                log: tail(data),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The end of the server's log.
pub(crate) fn tail(data: &Path) -> String {
    let log = fs::read(data.with_file_name("log")).unwrap_or_default();
    let from = log.len().saturating_sub(4000);
    String::from_utf8_lossy(&log[from..]).into_owned()
}

pub(crate) fn start(
    binaries: &Binaries,
    user: Option<User>,
    data: &Path,
) -> Result<Child, ClusterError> {
    let log = data.with_file_name("log");
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(io(&log))?;
    let errors = file.try_clone().map_err(io(&log))?;
    let postgres = binaries.directory().join("postgres");
    // What a killed server left behind would look like its successor's.
    let _ = fs::remove_file(data.join("postmaster.pid"));
    let mut child = User::command(user, &postgres)
        .arg("-D")
        .arg(data)
        .process_group(0)
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(io(&postgres))?;
    let mut ended = false;
    let ready = wait_until(data, "ready", || {
        ended = matches!(child.try_wait(), Ok(Some(_)));
        let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let status = status
            .lines()
            .nth(7)
            .map(str::trim)
            .unwrap_or_default()
            .to_owned();
        ended || status == "ready" || status == "standby"
    });
    if ended || ready.is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(ClusterError::TimedOut {
            awaited: "ready",
            log: tail(data),
        });
    }
    Ok(child)
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // A process that is gone is as good as one that was told.
        let _ = kill_process(pid, signal);
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

/// The direct children of a process, where /proc or ps tells.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let pairs = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((
            words.next()?.parse::<i32>().ok()?,
            words.next()?.parse::<i32>().ok()?,
        ))
    });
    pairs
        .filter(|(_, ppid)| *ppid == parent)
        .map(|(pid, _)| pid)
        .collect()
}
