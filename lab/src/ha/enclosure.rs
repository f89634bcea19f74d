//! Where all of it runs: namespaces that end with it. Nothing is changed outside, and no process stays behind.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use pg_leader::testing::Binaries;

use super::Arguments;
use super::daemon::USER;
use crate::Result;

const INSIDE: &str = "PG_LEADER_HA_INSIDE";

/// The programs that everything needs; paths need theirs.
const PROGRAMS: [&str; 5] = ["etcd", "unshare", "ip", "iptables", "setpriv"];

/// In each of the namespaces of members.
pub(super) const BRIDGE: &str = "br-ha";

/// Where candidates are, and etcd.
pub(super) const OUTSIDE: &str = "10.99.0.1";

/// What is not here, in words.
pub(super) fn lacking(arguments: &Arguments) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may make network namespaces".to_owned());
    }
    if let Err(error) = binaries() {
        return Some(error.to_string());
    }
    if !arguments.patroni.is_file() {
        return Some(format!("there is no {}", arguments.patroni.display()));
    }
    let programs = arguments
        .paths()
        .into_iter()
        .filter_map(super::path::Path::program);
    let lacks = PROGRAMS
        .into_iter()
        .chain(programs)
        .find(|name| !is_on_path(name));
    lacks
        .map(|name| format!("there is no {name} on the PATH"))
        .or_else(refusal)
}

/// The server's, in the directory where its other programs are too: what is on the PATH may be two links alone.
pub(super) fn binaries() -> Result<Binaries> {
    let found = Binaries::find()?;
    let postgres = found.directory().join("postgres").canonicalize()?;
    let directory = postgres.parent().unwrap_or(found.directory());
    match ["pg_ctl", "pg_basebackup", "pg_rewind"]
        .iter()
        .find(|name| !directory.join(name).is_file())
    {
        Some(lacks) => Err(format!("there is no {lacks} in {}", directory.display()).into()),
        None => Ok(Binaries::at(directory)?),
    }
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Containers without the right to make namespaces refuse.
fn refusal() -> Option<String> {
    let mut command = unshare();
    let made = command.args(["true"]).stderr(Stdio::null()).status();
    let made = made.is_ok_and(|status| status.success());
    (!made).then(|| "namespaces are refused here".to_owned())
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command
}

pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Run this command again, inside.
pub(super) fn enter() -> Result<ExitCode> {
    let status = unshare()
        // The first process of a namespace must reap what others leave: a dead server that nobody has reaped looks alive.
        .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(2)))
}

/// A bridge, to which members are linked.
pub(super) fn furnish() -> Result<()> {
    let names = Path::new("/run/netns");
    std::fs::create_dir_all(names)?;
    run("mount", "-t tmpfs none /run/netns")?;
    ip("link set lo up")?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("addr add {OUTSIDE}/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))
}

/// A namespace with a link to the bridge, of the same name, and an address.
pub(super) fn add(name: &str, address: &str) -> Result<()> {
    ip(&format!("netns add {name}"))?;
    ip(&format!(
        "link add {name} type veth peer name eth0 netns {name}"
    ))?;
    ip(&format!("link set {name} master {BRIDGE} up"))?;
    ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
    ip(&format!("-n {name} link set eth0 up"))?;
    ip(&format!("-n {name} link set lo up"))
}

/// A directory in memory: a disk that others keep busy would let etcd and rewinds wait.
pub(super) fn in_memory(directory: &Path) -> Result<()> {
    let directory = directory.display();
    run("install", &format!("-d {directory}"))?;
    run("mount", &format!("-t tmpfs none {directory}"))?;
    run("install", &format!("-d -o {USER} -m 700 {directory}"))
}

/// `ip` with these words.
pub(super) fn ip(words: &str) -> Result<()> {
    run("ip", words)
}

pub(super) fn run(program: &str, words: &str) -> Result<()> {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {words}: {said}").into())
}

/// The processes of a namespace.
pub(super) fn processes(name: &str) -> Result<Vec<i32>> {
    let output = Command::new("ip").args(["netns", "pids", name]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect())
}
