//! A proxy between two Unix sockets, in a process of its own: this binary, run again. For a candidate it looks like the
//! server's own socket.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use pg_leader::testing::Cluster;

use crate::Result;
use crate::candidate::die_with_parent;

/// PostgreSQL makes the name of a socket of this number; it says nothing else here.
const PORT: u16 = 5432;

pub(super) struct Relay {
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Relay {
    pub(super) fn start(primary: &Cluster) -> Result<Relay> {
        let mut relay = Relay {
            directory: tempfile::tempdir()?,
            child: None,
        };
        // Under the server's name.
        symlink(std::env::current_exe()?, relay.path("postgres"))?;
        relay.lead_to(primary)?;
        relay.revive()?;
        Ok(relay)
    }

    /// New connections go to another server.
    pub(super) fn lead_to(&self, server: &Cluster) -> io::Result<()> {
        let socket = format!(".s.PGSQL.{}", server.port());
        let next = self.path("next");
        symlink(server.socket_dir().join(socket), &next)?;
        fs::rename(next, self.path("server"))
    }

    /// Both ends of every connection that it relays are closed by the kernel.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn revive(&mut self) -> Result<()> {
        self.kill();
        let socket = self.path(&format!(".s.PGSQL.{PORT}"));
        let _ = fs::remove_file(&socket);
        let child = Command::new(self.path("postgres"))
            .arg("relay")
            .arg(socket)
            .arg(self.path("server"))
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    pub(super) fn conninfo(&self) -> String {
        let directory = self.directory.path().display();
        format!("host={directory} port={PORT} user=postgres dbname=postgres")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the process does.
pub(super) fn serve(socket: &Path, server: &Path) -> Result<()> {
    die_with_parent()?;
    let listener = UnixListener::bind(socket)?;
    loop {
        let (client, _) = listener.accept()?;
        let Ok(server) = UnixStream::connect(server) else {
            continue;
        };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }
}
