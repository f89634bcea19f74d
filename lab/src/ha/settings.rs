//! What a member's Patroni is told.

use std::path::Path;

use serde_json::json;

use super::daemon::USER;
use super::{enclosure, etcd, rest};

/// Near the least that Patroni takes, so that an event takes less than a minute. Its defaults are 30, 10 and 10.
pub(super) const TTL: u64 = 20;
const LOOP_WAIT: u64 = 1;
const RETRY_TIMEOUT: u64 = 6;

/// YAML, of which JSON is a part.
pub(super) fn of(name: &str, address: &str, directory: &Path, binaries: &Path) -> String {
    let (data, pgpass) = (directory.join("data"), directory.join("pgpass"));
    let rest = format!("{address}:{}", rest::PORT);
    let user = json!({"username": USER, "password": "none"});
    json!({
        "scope": "ha",
        "name": name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"hosts": format!("{}:{}", enclosure::OUTSIDE, etcd::PORT)},
        "bootstrap": {
            "dcs": {
                "ttl": TTL,
                "loop_wait": LOOP_WAIT,
                "retry_timeout": RETRY_TIMEOUT,
                "maximum_lag_on_failover": 1_048_576,
                // A dead primary fails over at once instead of starting again where it was.
                "primary_start_timeout": 0,
                "master_start_timeout": 0,
                "postgresql": {"use_pg_rewind": true, "use_slots": false, "parameters": parameters()},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}, "data-checksums"],
        },
        "postgresql": {
            "listen": format!("{address}:5432"),
            "connect_address": format!("{address}:5432"),
            "data_dir": data,
            "bin_dir": binaries,
            "pgpass": pgpass,
            "authentication": {"superuser": user, "replication": user, "rewind": user},
            "parameters": {"unix_socket_directories": directory},
            "pg_hba": ["local all all trust", "host all all all trust", "host replication all all trust"],
            "create_replica_methods": ["basebackup"],
            "basebackup": [{"checkpoint": "fast"}, "no-sync"],
        },
        "watchdog": {"mode": "off"},
    })
    .to_string()
}

fn parameters() -> serde_json::Value {
    json!({
        // A crash of processes loses nothing by it.
        "fsync": "off",
        "wal_level": "replica",
        "hot_standby": "on",
        "shared_buffers": "16MB",
        "max_connections": 60,
        "wal_keep_size": "256MB",
        "wal_log_hints": "on",
        "wal_retrieve_retry_interval": "500ms",
    })
}
