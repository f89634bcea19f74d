//! Standard error of a candidate: a pipe that is read, until it is not any more.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const READ: u8 = 0;
const FULL: u8 = 1;
const CLOSED: u8 = 2;

pub(super) struct Stderr {
    state: Arc<AtomicU8>,
    writer: PipeWriter,
}

impl Stderr {
    /// What is read goes to `file`. Give the second to the process.
    pub(super) fn to(file: File) -> io::Result<(Stderr, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let state = Arc::new(AtomicU8::new(READ));
        let of_reader = Arc::clone(&state);
        std::thread::spawn(move || read(reader, file, &of_reader));
        let of_process = writer.try_clone()?;
        Ok((Stderr { state, writer }, of_process))
    }

    /// From now on nobody reads, and there is no room.
    pub(super) fn fill(&self) -> io::Result<()> {
        self.state.store(FULL, Ordering::SeqCst);
        let (state, mut writer) = (Arc::clone(&self.state), self.writer.try_clone()?);
        std::thread::spawn(move || {
            let line = [&[b'.'; 127][..], b"\n"].concat();
            while state.load(Ordering::SeqCst) == FULL && writer.write_all(&line).is_ok() {}
        });
        Ok(())
    }

    /// It is read again.
    pub(super) fn drain(&self) {
        let _ = self
            .state
            .compare_exchange(FULL, READ, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whoever read is gone.
    pub(super) fn close(&self) {
        self.state.store(CLOSED, Ordering::SeqCst);
        // Wakes it where it waits for a line.
        let _ = (&self.writer).write_all(b"\n");
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        // What was said last is still read.
        let full = self.state.load(Ordering::SeqCst) == FULL;
        if full {
            self.state.store(CLOSED, Ordering::SeqCst);
        }
    }
}

fn read(mut reader: PipeReader, mut file: File, state: &AtomicU8) {
    let mut piece = [0; 4096];
    loop {
        match state.load(Ordering::SeqCst) {
            CLOSED => return,
            FULL => std::thread::sleep(Duration::from_millis(5)),
            _ => match reader.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let _ = file.write_all(&piece[..read]);
                }
            },
        }
    }
}
