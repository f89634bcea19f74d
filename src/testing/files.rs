//! Data directories: copied, and given to whoever runs the server.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::server::User;
use super::{ClusterError, io};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// To the user that runs the server.
pub(super) fn give_away(path: &Path, owner: Option<User>) -> Result<(), ClusterError> {
    match owner {
        Some(User { uid, gid }) => chown(path, Some(uid), Some(gid)).map_err(io(path)),
        None => Ok(()),
    }
}

/// For the owner alone, as the server demands of a data directory.
pub(super) fn lock_down(directory: &Path) -> Result<(), ClusterError> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(io(directory))
}

/// A copy of a data directory that may be in use: what vanishes meanwhile is not needed.
pub(super) fn copy(from: &Path, to: &Path, owner: Option<User>) -> Result<Copied, ClusterError> {
    let mut copied = Copied::default();
    fs::create_dir(to).map_err(io(to))?;
    lock_down(to)?;
    give_away(to, owner)?;
    for entry in fs::read_dir(from).map_err(io(from))?.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            let below = copy(&source, &target, owner)?;
            copied.files += below.files;
            copied.bytes += below.bytes;
        } else if kind.is_file() && entry.file_name() != "postmaster.pid" {
            match fs::copy(&source, &target) {
                Ok(bytes) => {
                    give_away(&target, owner)?;
                    copied.files += 1;
                    copied.bytes += bytes;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(&source)(error)),
            }
        }
    }
    Ok(copied)
}
