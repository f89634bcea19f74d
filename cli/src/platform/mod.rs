//! What is the operating system's: processes, what wakes those who wait for them, and the descriptors that go from one
//! to another. All that differs between systems is here, with what is done where it is not Linux (not tried).

pub(crate) mod alarm;
pub(crate) mod descriptors;
pub(crate) mod endings;
pub(crate) mod processes;

/// Where nothing wakes whoever waits, it looks so often, however long the lease is: a machine that resumes after the
/// lease may resume in another's term.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);
