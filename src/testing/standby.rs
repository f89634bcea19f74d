//! A standby by streaming replication, and its promotion.

use std::fs;
use std::path::Path;

use super::{Cluster, ClusterError, files, io, server};

impl Cluster {
    /// A standby of this cluster, by asynchronous streaming replication; its `application_name` there is
    /// `standby`. This cluster may be a standby itself.
    ///
    /// # Errors
    ///
    /// When the copy fails or the standby does not come up.
    pub fn standby(&self) -> Result<Cluster, ClusterError> {
        let standby = Cluster::prepare(self.binaries.clone())?;
        let data = standby.data_dir();
        // Not pg_basebackup: not every set of binaries has it. A backup on a connection of its own lasts
        // as long as the connection, so both ends of it are in this one call.
        let label = self.backup(|| {
            files::copy(&self.data_dir(), &data, standby.user)?;
            // Of a standby's data its control file must be the last: it says how far the rest must recover.
            let control = Path::new("global").join("pg_control");
            let (source, target) = (self.data_dir().join(&control), data.join(&control));
            fs::copy(&source, &target).map_err(io(&source))?;
            files::give_away(&target, standby.user)
        })?;
        let write = |name: &str, text: &str| {
            let path = data.join(name);
            fs::write(&path, text).map_err(io(&path))?;
            files::give_away(&path, standby.user)
        };
        write("backup_label", &label)?;
        write("standby.signal", "")?;
        let primary = format!(
            "host={} port={} user=postgres application_name=standby",
            self.socket_dir().display(),
            self.port()
        );
        standby.configure(&[("primary_conninfo".to_owned(), primary)])?;
        standby.start_again()?;
        Ok(standby)
    }

    /// End the recovery of a standby: it becomes a primary on a timeline of its own.
    ///
    /// # Errors
    ///
    /// When it does not become a primary within a minute.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.execute("SELECT pg_promote(true, 60)")?;
        server::wait_until(
            &self.data_dir(),
            "a primary",
            || matches!(self.query("SELECT pg_is_in_recovery()"), Ok(Some(recovers)) if recovers == "f"),
        )
    }

    /// Cut a standby off: it receives nothing more, as if the network to its primary were gone. Returns when
    /// its receiver has ended.
    ///
    /// # Errors
    ///
    /// When the receiver does not end within a minute.
    pub fn stop_replication(&self) -> Result<(), ClusterError> {
        // Not ALTER SYSTEM: that would go before what a standby of this standby is configured with.
        let path = self.data_dir().join("postgresql.conf");
        let mut text = fs::read_to_string(&path).map_err(io(&path))?;
        text.push_str("primary_conninfo = ''\n");
        fs::write(&path, text).map_err(io(&path))?;
        self.execute("SELECT pg_reload_conf()")?;
        let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
        server::wait_until(
            &self.data_dir(),
            "cut off",
            || matches!(self.query(receivers), Ok(Some(count)) if count == "0"),
        )
    }

    /// Call `copy` between the beginning and the end of a backup, and return the backup's label.
    fn backup(
        &self,
        copy: impl FnOnce() -> Result<(), ClusterError>,
    ) -> Result<String, ClusterError> {
        let sql = |message: tokio_postgres::Error| ClusterError::Sql {
            statement: "a base backup".to_owned(),
            message: message.to_string(),
        };
        let conninfo = self.socket_conninfo();
        std::thread::scope(|scope| {
            let (begun, begins) = std::sync::mpsc::channel();
            let (copied, end) = tokio::sync::oneshot::channel::<()>();
            let thread = scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = runtime.map_err(io("a runtime"))?;
                runtime.block_on(async {
                    let (client, connection) =
                        tokio_postgres::connect(&conninfo, tokio_postgres::NoTls)
                            .await
                            .map_err(sql)?;
                    tokio::spawn(connection);
                    client
                        .batch_execute("SELECT pg_backup_start('standby', true)")
                        .await
                        .map_err(sql)?;
                    let _ = begun.send(());
                    let _ = end.await;
                    let row = client
                        .query_one("SELECT labelfile FROM pg_backup_stop(false)", &[])
                        .await
                        .map_err(sql)?;
                    row.try_get(0).map_err(sql)
                })
            });
            let result = match begins.recv() {
                Ok(()) => copy(),
                // The thread has failed, and says so itself.
                Err(_) => Ok(()),
            };
            let _ = copied.send(());
            let label = thread.join().unwrap_or(Err(ClusterError::NotABackend(0)));
            result.and(label)
        })
    }
}
