//! One etcd. That it may fail is an event of its own.

use std::path::Path;

use super::daemon::Daemon;
use super::enclosure::{self, OUTSIDE};
use crate::Result;

pub(super) const PORT: u16 = 2379;

pub(super) fn start(directory: &Path) -> Result<Daemon> {
    let url = format!("http://{OUTSIDE}:{PORT}");
    let data = directory.join("etcd");
    enclosure::in_memory(&data)?;
    let arguments = [
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--logger=zap".to_owned(),
    ];
    Daemon::start(
        None,
        Path::new("etcd"),
        &arguments,
        &directory.join("etcd.log"),
    )
}
