//! What Linux counts for a process.

use std::fs;
use std::time::Duration;

use crate::support::Result;

/// User and system time so far.
pub(crate) fn cpu_time(pid: i32) -> Result<Duration> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = status.rsplit_once(") ").ok_or("no fields")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<std::result::Result<_, _>>()?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// In bytes.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Of that, what is not mapped from a file.
    pub(crate) private: u64,
}

pub(crate) fn memory(pid: i32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kilobytes.ok_or("no memory")?.parse::<u64>()? * 1024)
    };
    Ok(Memory {
        resident: field("VmRSS:")?,
        private: field("RssAnon:")?,
    })
}
