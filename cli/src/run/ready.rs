//! When the command has recovered: from recovering to leading.

use std::ffi::OsString;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use crate::exit::Failure;
use crate::platform::descriptors::ASIDE;

#[derive(Debug, clap::Args)]
#[group(id = "readiness", multiple = false)]
pub(super) struct Arguments {
    /// The command is ready once this file exists; it is removed before the command starts. Its name is in
    /// PG_LEADER_READY_FILE.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// The command is ready once a GET of this URL (http only) is answered with a status of 200 to 399.
    #[arg(long, value_name = "URL")]
    ready_http: Option<String>,

    /// The command is ready once it has written a line to the descriptor of this number, from 3 to 99,
    /// which is also in PG_LEADER_READY_FD.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..i64::from(ASIDE)))]
    ready_fd: Option<RawFd>,
}

/// How the command says that it has recovered.
#[derive(Clone, Debug)]
pub(super) enum Readiness {
    AtOnce,
    File(PathBuf),
    Http(String),
    /// The guard hears it.
    Descriptor(RawFd),
}

/// The names of the variables that tell the command how to say it.
pub(super) const FILE: &str = "PG_LEADER_READY_FILE";
pub(super) const DESCRIPTOR: &str = "PG_LEADER_READY_FD";

const LOOK_AGAIN: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl Arguments {
    pub(super) fn readiness(self) -> Result<Readiness, Failure> {
        Ok(match (self.ready_file, self.ready_http, self.ready_fd) {
            (Some(file), _, _) => Readiness::File(file),
            (_, Some(url), _) if !url.starts_with("http://") => {
                return Err(Failure::usage(
                    "--ready-http needs a URL that begins with http://",
                ));
            }
            (_, Some(url), _) => Readiness::Http(url),
            (_, _, Some(number)) => Readiness::Descriptor(number),
            _ => Readiness::AtOnce,
        })
    }
}

impl Readiness {
    pub(super) fn for_guard(&self) -> Vec<String> {
        match self {
            Readiness::Descriptor(number) => vec!["--ready-fd".to_owned(), number.to_string()],
            _ => vec![],
        }
    }

    /// What the command finds in its environment.
    pub(super) fn for_command(&self) -> Option<(&'static str, OsString)> {
        match self {
            Readiness::File(file) => Some((FILE, file.into())),
            Readiness::Descriptor(number) => Some((DESCRIPTOR, number.to_string().into())),
            _ => None,
        }
    }

    /// Nothing that an earlier command has left may speak for the next.
    pub(super) fn reset(&self) -> io::Result<()> {
        match self {
            Readiness::File(file) => match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Returns once the command is ready, or never where the guard says so. Cancel safe.
    pub(super) async fn reached(&self) {
        match self {
            Readiness::AtOnce => {}
            Readiness::File(file) => {
                while !file.exists() {
                    sleep(LOOK_AGAIN).await;
                }
            }
            Readiness::Http(url) => {
                while !answers(url).await {
                    sleep(LOOK_AGAIN).await;
                }
            }
            Readiness::Descriptor(_) => std::future::pending().await,
        }
    }
}

async fn answers(url: &str) -> bool {
    let url = url.to_owned();
    let get = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WITHIN))
            .max_redirects(0)
            .proxy(None)
            .build()
            .into();
        agent.get(&url).call().is_ok()
    };
    tokio::task::spawn_blocking(get).await.unwrap_or(false)
}
