//! A log: a file that lines are appended to, each by a single write.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Log {
    file: Arc<File>,
}

impl Log {
    pub(super) fn append_to(path: &Path) -> std::io::Result<Log> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Log {
            file: Arc::new(file),
        })
    }

    /// A process that is killed leaves whole lines, and at most one that lacks its end.
    pub(super) fn write(&self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).expect("a line can be written as JSON");
        text.push(b'\n');
        (&*self.file)
            .write_all(&text)
            .expect("the log can be written");
    }
}
