//! Processes and what they have started.

use std::ffi::CStr;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Signal};

/// The program that this process runs, to be run again: the same even where its file has been replaced since.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return Ok(PathBuf::from("/proc/self/exe"));
    #[cfg(not(target_os = "linux"))]
    std::env::current_exe()
}

/// An error where /proc does not show the processes that this one starts, so that what a command leaves behind
/// could not be found: where it is missing, or is that of another pid namespace, whose numbers are others.
#[cfg(target_os = "linux")]
pub(crate) fn are_seen() -> io::Result<()> {
    let ours = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| is_of(&status, rustix::process::getpid()));
    let unseen = "/proc is missing, or is that of another pid namespace, so that what the command leaves behind \
                  could not be found: mount one of this namespace (unshare --mount-proc)";
    ours.then_some(()).ok_or_else(|| io::Error::other(unseen))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn are_seen() -> io::Result<()> {
    Ok(())
}

/// Whether this is the text of /proc/PID/status for `pid`, seen from its own namespace: from another one it has
/// a number for each namespace in between.
#[cfg(target_os = "linux")]
fn is_of(status: &str, pid: Pid) -> bool {
    let numbers = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(
            line.split_ascii_whitespace()
                .map(self::pid)
                .collect::<Vec<_>>(),
        )
    };
    // Kernels older than namespaces within namespaces say nothing of these.
    numbers("Pid:") == Some(vec![Some(pid)])
        && numbers("NSpid:").is_none_or(|all| all == [Some(pid)])
}

/// What `ps` shows of this process; its arguments elsewhere than on Linux.
pub(crate) fn call_this(name: &CStr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_name(name)?;
    #[cfg(not(target_os = "linux"))]
    let _ = name;
    Ok(())
}

/// Whether [`adopt_orphans`] does so. Where it does not, only the process group of a command is known.
pub(crate) const ORPHANS_ARE_ADOPTED: bool = cfg!(target_os = "linux");

/// From now on every orphan among what this process has started becomes its child, instead of init's. Where
/// the system does not have that (it is Linux's), a daemon that leaves its process group escapes.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// From now on this process, also once it has become another program, is killed when its parent ends. False
/// when that has happened already. Linux only.
pub(crate) fn die_with_parent(parent: Pid) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(rustix::process::getppid() == Some(parent))
}

/// The children of `parent`. Empty where there is no /proc.
pub(crate) fn children(parent: Pid) -> io::Result<Vec<Pid>> {
    let parents = parents()?.into_iter();
    let children = parents.filter(|(_, of)| *of == parent);
    Ok(children.map(|(child, _)| child).collect())
}

/// Whether this process ignores a signal, as what started it may have asked for. False where there is no /proc.
pub(crate) fn ignores(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (ignored(&status) >> (number - 1)) & 1 == 1
}

/// The set of ignored signals in the text of /proc/PID/status, the first in the lowest bit.
fn ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok())
        .unwrap_or(0)
}

/// Every process that descends from `ancestor`, but for `except` and what descends from these. Empty where
/// there is no /proc.
///
/// When it is empty there are none, provided that `ancestor` adopts orphans, and that nobody reaps its
/// children meanwhile: a child that has ended stays visible until then.
pub(crate) fn descendants(ancestor: Pid, except: &[Pid]) -> io::Result<Vec<Pid>> {
    let parents = parents()?;
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents
            .iter()
            .filter(|(child, of)| *of == parent && !except.contains(child))
            .map(|(child, _)| *child);
        found.extend(children);
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

/// All processes, each with its parent.
#[cfg(target_os = "linux")]
fn parents() -> io::Result<Vec<(Pid, Pid)>> {
    let mut parents = vec![];
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(pid) else {
            continue;
        };
        // One that has ended meanwhile has no file.
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent(&String::from_utf8_lossy(&stat)) {
            parents.push((pid, parent));
        }
    }
    Ok(parents)
}

#[cfg(not(target_os = "linux"))]
fn parents() -> io::Result<Vec<(Pid, Pid)>> {
    Ok(vec![])
}

#[cfg(target_os = "linux")]
fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// The parent in a line of /proc/PID/stat. The program's name, in brackets, may contain anything.
#[cfg(target_os = "linux")]
fn parent(stat: &str) -> Option<Pid> {
    let (_, fields) = stat.rsplit_once(')')?;
    pid(fields.split_ascii_whitespace().nth(1)?)
}

/// Send a signal to a process group and to `others`. Who is gone needs none.
pub(crate) fn signal(group: Option<Pid>, others: &[Pid], signal: Signal) {
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, signal);
    }
    for &pid in others {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        let found = parent("7 (a) b (c) S 42 7 7 0 -1");
        assert_eq!(found, Pid::from_raw(42));
    }

    #[test]
    fn a_process_of_another_namespace_is_told_by_its_numbers() {
        let seven = Pid::from_raw(7).unwrap();
        for (status, ours) in [
            ("Name:\ta\nPid:\t7\nPPid:\t1\nNSpid:\t7\n", true),
            ("Name:\ta\nPid:\t7\n", true),
            ("Pid:\t4242\nNSpid:\t4242\t7\n", false),
            // By chance it has the same number in both.
            ("Pid:\t7\nNSpid:\t7\t7\n", false),
            ("Pid:\t8\nNSpid:\t8\n", false),
            ("", false),
        ] {
            assert_eq!(is_of(status, seven), ours, "{status:?}");
        }
        are_seen().unwrap();
    }

    #[test]
    fn a_child_is_a_descendant_unless_excepted() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let us = rustix::process::getpid();
        assert!(descendants(us, &[]).unwrap().contains(&pid));
        assert!(!descendants(us, &[pid]).unwrap().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants(us, &[]).unwrap().contains(&pid));
    }
}
