//! Where the server's binaries are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// Where the distributions and Homebrew put the binaries, a pattern with one `*` a line.
/// `scripts/postgres` looks there too.
const PLACES: &str = include_str!("places");

/// Below this the schema cannot be installed.
const OLDEST: u32 = 15;

/// The directory of a PostgreSQL server's binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    version: u32,
}

impl Binaries {
    /// In `PG_LEADER_POSTGRES_BIN`, else the first on `PATH`, else the newest in the usual places of the
    /// distributions and of Homebrew. Only a named one may be older than 15.
    ///
    /// # Errors
    ///
    /// When there are none, or those named in the variable do not run.
    pub fn find() -> Result<Binaries, ClusterError> {
        if let Some(named) = std::env::var_os("PG_LEADER_POSTGRES_BIN") {
            return Binaries::at(named);
        }
        let usable = |directory: PathBuf| {
            let binaries = Binaries::at(directory).ok()?;
            (binaries.version >= OLDEST).then_some(binaries)
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).find_map(usable);
        on_path
            .or_else(|| {
                let places = PLACES.lines().flat_map(matching);
                places
                    .filter_map(usable)
                    .max_by_key(|binaries| binaries.version)
            })
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
        let text = String::from_utf8_lossy(&output.stdout);
        match major(&text) {
            Some(version) => Ok(Binaries { directory, version }),
            None => Err(ClusterError::Command {
                command: format!("{} --version", postgres.display()),
                output: text.into_owned() + &String::from_utf8_lossy(&output.stderr),
            }),
        }
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

/// The directories that a pattern with one `*` stands for.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

/// From what `postgres --version` prints.
fn major(version: &str) -> Option<u32> {
    version.split_whitespace().find_map(|word| {
        let digits = word.find(|c: char| !c.is_ascii_digit());
        word[..digits.unwrap_or(word.len())].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_however_it_is_printed() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18.4", Some(18)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 19devel", Some(19)),
            ("postgres (PostgreSQL) 17rc1", Some(17)),
            ("", None),
        ] {
            assert_eq!(major(text), version, "{text}");
        }
    }

    #[test]
    fn a_pattern_stands_for_the_directories_that_begin_as_it_does() {
        let root = tempfile::tempdir().unwrap();
        for name in ["postgresql@16", "postgresql@17", "mysql"] {
            std::fs::create_dir_all(root.path().join(name).join("bin")).unwrap();
        }
        let root = root.path().to_str().unwrap();
        let mut found = matching(&format!("{root}/postgresql*/bin"));
        found.sort();
        assert_eq!(
            found,
            [
                format!("{root}/postgresql@16/bin"),
                format!("{root}/postgresql@17/bin")
            ]
            .map(PathBuf::from)
        );
        assert_eq!(matching(&format!("{root}/*/bin")).len(), 3);
        assert!(matching("/nowhere/*/bin").is_empty());
    }

    #[test]
    fn every_usual_place_is_a_pattern() {
        for place in PLACES.lines() {
            assert!(place.starts_with('/') && place.matches('*').count() == 1);
        }
    }
}
