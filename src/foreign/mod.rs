//! What is not ours and may hang or panic: files on a disk, the application's code and its log.

pub(crate) mod hands;
pub(crate) mod log;
pub(crate) mod may_hang;
pub(crate) mod panics;
