//! The library's clock, which all processes of a machine share, in nanoseconds.

pub(crate) fn now() -> u64 {
    pg_leader::clock::now().as_nanos()
}
