//! Ports for servers that come and go.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Range;

use super::{ClusterError, io};

const LOWEST: u16 = 15_000;

/// A port that nobody listens on. Where there are such, one that no outgoing connection is given: else a client takes it
/// while the server is down, and the server cannot start again.
pub(super) fn free_port() -> Result<u16, ClusterError> {
    let left_alone = left_alone();
    for _ in 0..100 {
        if let Some(port) = drawn(&left_alone).filter(|port| listen(*port).is_ok()) {
            return Ok(port);
        }
    }
    listen(0).map_err(io("127.0.0.1"))
}

fn listen(port: u16) -> std::io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    Ok(listener.local_addr()?.port())
}

/// Below those that the system gives to outgoing connections.
fn left_alone() -> Range<u16> {
    let given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = given.split_whitespace().next();
    LOWEST..first.and_then(|port| port.parse().ok()).unwrap_or(0)
}

fn drawn(ports: &Range<u16>) -> Option<u16> {
    let chance = RandomState::new().hash_one(0) % u64::try_from(ports.len()).ok()?.max(1);
    let port = ports.start + u16::try_from(chance).ok()?;
    ports.contains(&port).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_no_outgoing_connection_is_given_it() {
        let left_alone = left_alone();
        for _ in 0..50 {
            let port = free_port().unwrap();
            assert!(
                left_alone.is_empty() || left_alone.contains(&port),
                "{port}"
            );
            listen(port).unwrap();
        }
    }

    #[test]
    fn of_no_ports_none_is_drawn() {
        assert_eq!(drawn(&(7..7)), None);
        assert_eq!(drawn(&(7..8)), Some(7));
    }
}
