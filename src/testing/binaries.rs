//! Where the server's binaries are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// The directory of a PostgreSQL server's binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: u32,
}

impl Binaries {
    /// In `PG_LEADER_POSTGRES_BIN`, else on `PATH`, else the newest in the usual places of the
    /// distributions and of Homebrew.
    ///
    /// # Errors
    ///
    /// When there are none, or those named in the variable do not run.
    pub fn find() -> Result<Binaries, ClusterError> {
        if let Some(named) = std::env::var_os("PG_LEADER_POSTGRES_BIN") {
            return Binaries::at(named);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).find_map(|entry| Binaries::at(entry).ok());
        if let Some(binaries) = on_path {
            return Ok(binaries);
        }
        let places = [
            ("/usr/lib/postgresql", "", "bin"),
            ("/usr", "pgsql-", "bin"),
            ("/opt/homebrew/opt", "postgresql", "bin"),
            ("/usr/local/opt", "postgresql", "bin"),
            ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
        ];
        places
            .into_iter()
            .flat_map(|(parent, prefix, bin)| {
                let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
                let named = entries
                    .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix));
                named.filter_map(move |entry| Binaries::at(entry.path().join(bin)).ok())
            })
            .max_by_key(|binaries| binaries.version)
            .ok_or(ClusterError::NoBinaries)
    }

    /// Those in `directory`.
    ///
    /// # Errors
    ///
    /// When they are not there or do not run.
    pub fn at(directory: impl Into<PathBuf>) -> Result<Binaries, ClusterError> {
        let directory = directory.into();
        if !directory.join("initdb").is_file() {
            return Err(ClusterError::NoBinaries);
        }
        let postgres = directory.join("postgres");
        let output = Command::new(&postgres)
            .arg("--version")
            .output()
            .map_err(super::io(&postgres))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text
            .split_whitespace()
            .find_map(|word| word.split(['.', 'b', 'r', 'd']).next()?.parse().ok())
            .ok_or(ClusterError::Command {
                command: "postgres --version".to_owned(),
                output: text,
            })?;
        Ok(Binaries { directory, version })
    }

    /// The directory that holds `postgres` and `initdb`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The major version, such as 15.
    pub fn version(&self) -> u32 {
        self.version
    }
}
