//! Data directories that `initdb` has made once, to be copied for each cluster after that.
//!
//! A template is complete or not there: it is made beside, and renamed. It is never written again, and anybody may
//! remove it at any time. Whatever is wrong with it or with the cache, `initdb` does the work as if there were none.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::files::{self, Copied};
use super::server::User;
use super::{Binaries, ClusterError, identity};

/// What depends on nothing but itself: no file, no prompt, no place of its own.
const KNOWN_OPTIONS: [&str; 13] = [
    "--allow-group-access",
    "--auth",
    "--auth-host",
    "--auth-local",
    "--builtin-locale",
    "--data-checksums",
    "--encoding",
    "--icu-locale",
    "--locale",
    "--locale-provider",
    "--no-data-checksums",
    "--no-sync",
    "--username",
];

/// Whoever waits longer for another process's `initdb` runs his own.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names of what is being made or removed.
const UNFINISHED: &str = "unfinished-";
static LAST: AtomicU32 = AtomicU32::new(0);

/// The place of a template, whether or not there is one.
#[derive(Debug)]
pub(super) struct Template {
    cache: PathBuf,
    directory: PathBuf,
    /// Everything that the result of `initdb` depends on.
    recipe: String,
}

impl Template {
    /// In the cache of this user, below the temporary directory.
    pub(super) fn usual(binaries: &Binaries, arguments: &[String]) -> Option<Template> {
        let owner = rustix::process::geteuid();
        let cache = std::env::temp_dir().join(format!("pg-leader-templates-{owner}"));
        Template::within(cache, binaries, arguments)
    }

    /// `None` where the arguments may mean another thing next time.
    pub(super) fn within(
        cache: PathBuf,
        binaries: &Binaries,
        arguments: &[String],
    ) -> Option<Template> {
        let recipe = recipe(binaries, arguments)?;
        let name = format!("{}-{:016x}", binaries.version(), fnv(recipe.as_bytes()));
        Some(Template {
            directory: cache.join(name),
            cache,
            recipe,
        })
    }

    /// Make `data` with a copy, else by `initdb`, which is then kept as the template. Whether it is a copy.
    pub(super) fn fill(
        &self,
        data: &Path,
        owner: Option<User>,
        initdb: impl FnOnce() -> Result<(), ClusterError>,
    ) -> Result<bool, ClusterError> {
        if self.is_copied_to(data, owner) {
            return Ok(true);
        }
        let lock = self.lock();
        // Somebody else may have made it meanwhile.
        if self.is_copied_to(data, owner) {
            return Ok(true);
        }
        initdb()?;
        if lock.is_some()
            && let Err(error) = self.keep(data)
        {
            tracing::debug!(%error, "no template of a cluster is kept");
        }
        Ok(false)
    }

    /// Afterwards there is a sound copy, or neither a copy nor a template.
    fn is_copied_to(&self, data: &Path, owner: Option<User>) -> bool {
        let Some(content) = self.content() else {
            return false;
        };
        let Err(error) = self.copy_to(data, owner, content) else {
            return true;
        };
        tracing::debug!(%error, "the template of a cluster is of no use");
        self.discard();
        let _ = fs::remove_dir_all(data);
        false
    }

    /// It is of no use. Whoever is copying it finds that files are missing.
    pub(super) fn discard(&self) {
        let aside = self.unfinished();
        if fs::rename(&self.directory, &aside).is_ok() {
            let _ = fs::remove_dir_all(aside);
        }
    }

    fn copy_to(
        &self,
        data: &Path,
        owner: Option<User>,
        content: Copied,
    ) -> Result<(), ClusterError> {
        let copied = files::copy(&self.directory.join("data"), data, owner)?;
        if copied != content {
            let message = format!("{copied:?} instead of {content:?}");
            return Err(super::io(&self.directory)(std::io::Error::other(message)));
        }
        identity::renew(data).map_err(super::io(data))
    }

    /// What a complete template for this recipe has; the cache must be nobody else's.
    fn content(&self) -> Option<Copied> {
        if !is_ours(&self.cache) {
            return None;
        }
        let stamp = fs::read_to_string(self.stamp(&self.directory)).ok()?;
        let (content, recipe) = stamp.split_once('\n')?;
        let (files, bytes) = content.split_once(' ')?;
        (recipe == self.recipe).then_some(Copied {
            files: files.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }

    fn stamp(&self, directory: &Path) -> PathBuf {
        directory.join("complete")
    }

    /// Who makes a template, the only one. `None` where there can be none.
    fn lock(&self) -> Option<File> {
        let _ = fs::DirBuilder::new().mode(0o700).create(&self.cache);
        if !is_ours(&self.cache) {
            return None;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(self.cache.join("lock")).ok()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(file),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return None,
            }
        }
    }

    /// Called by the holder of the lock.
    fn keep(&self, data: &Path) -> Result<(), ClusterError> {
        self.tidy();
        self.discard();
        let making = self.unfinished();
        fs::create_dir(&making).map_err(super::io(&making))?;
        let content = files::copy(data, &making.join("data"), None)?;
        let stamp = format!("{} {}\n{}", content.files, content.bytes, self.recipe);
        let path = self.stamp(&making);
        fs::write(&path, stamp).map_err(super::io(&path))?;
        fs::rename(&making, &self.directory).map_err(super::io(&self.directory))
    }

    /// Remove what killed processes have left, and templates of earlier boots: after a crash of the machine nobody
    /// knows what is on its disk.
    fn tidy(&self) {
        for entry in fs::read_dir(&self.cache).into_iter().flatten().flatten() {
            let path = entry.path();
            let unfinished = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(UNFINISHED.as_bytes());
            let stamp = fs::read_to_string(self.stamp(&path)).unwrap_or_default();
            if unfinished || !stamp.ends_with(&boot()) {
                // The lock is none.
                let _ = fs::remove_dir_all(path);
            }
        }
    }

    fn unfinished(&self) -> PathBuf {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        self.cache
            .join(format!("{UNFINISHED}{}-{number}", process::id()))
    }
}

/// Nobody else may have put anything there: a server runs what its data directory says.
fn is_ours(cache: &Path) -> bool {
    fs::symlink_metadata(cache).is_ok_and(|found| {
        found.is_dir()
            && found.uid() == rustix::process::geteuid().as_raw()
            && found.mode() & 0o022 == 0
    })
}

fn recipe(binaries: &Binaries, arguments: &[String]) -> Option<String> {
    let known = |argument: &String| {
        let name = argument.split('=').next().unwrap_or_default();
        KNOWN_OPTIONS.contains(&name) || name.starts_with("--lc-")
    };
    if !arguments.iter().all(known) {
        return None;
    }
    let mut recipe = String::new();
    for program in ["postgres", "initdb"] {
        let path = fs::canonicalize(binaries.directory().join(program)).ok()?;
        let found = fs::metadata(&path).ok()?;
        let (size, second, part) = (found.len(), found.mtime(), found.mtime_nsec());
        recipe += &format!("{} {size} {second}.{part}\n", path.display());
    }
    // initdb writes the time zone into the configuration.
    let zone = std::env::var_os("TZ");
    let local = fs::canonicalize("/etc/localtime").ok();
    Some(format!(
        "{recipe}{arguments:?}\n{zone:?} {local:?}\n{}",
        boot()
    ))
}

/// Since when the machine runs, where the system tells.
fn boot() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("boot {}\n", boot.trim())
}

/// FNV-1a: the same for every build.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
