//! One thread of another process, stopped where it happens to be, as a debugger does it.

use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// It stands still while this lives.
pub struct Held {
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

/// Stop the thread of that name. Its process lives.
pub fn hold(process: &Child, name: &str) -> Held {
    let thread = thread_of(process.id(), name);
    let (release, released) = channel::<()>();
    let (stopped, is_stopped) = channel();
    // Whoever traces a thread must be one thread himself.
    let tracer = std::thread::spawn(move || {
        ptrace::seize(thread, ptrace::Options::empty()).expect("it may be traced");
        ptrace::interrupt(thread).expect("it may be stopped");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        stopped.send(()).expect("somebody waits");
        // A process that ends waits until its traced threads are reaped.
        let reap = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        while released.recv_timeout(Duration::from_millis(2)) == timed_out() {
            if matches!(
                waitpid(thread, Some(reap)),
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_)
            ) {
                return;
            }
        }
        let _ = ptrace::detach(thread, None);
    });
    is_stopped.recv().expect("it stops");
    Held {
        release: Some(release),
        tracer: Some(tracer),
    }
}

fn timed_out() -> Result<(), std::sync::mpsc::RecvTimeoutError> {
    Err(std::sync::mpsc::RecvTimeoutError::Timeout)
}

fn thread_of(process: u32, name: &str) -> Pid {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    let found = threads
        .filter_map(Result::ok)
        .find(|thread| {
            std::fs::read_to_string(thread.path().join("comm"))
                .is_ok_and(|comm| comm.trim_end() == name)
        })
        .expect("it has such a thread");
    let number = found.file_name().to_string_lossy().parse();
    Pid::from_raw(number.expect("a number"))
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release = None;
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}
