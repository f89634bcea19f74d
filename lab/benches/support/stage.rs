//! A throw-away cluster and a session to watch it from.

use pg_leader::Elector;
use pg_leader::testing::Cluster;
use tokio_postgres::{Client, NoTls};

use super::Result;
use super::arguments::Arguments;

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
}

impl Stage {
    pub(crate) async fn start(arguments: &Arguments) -> Result<Stage> {
        let fsync = if arguments.fsync { "on" } else { "off" };
        let cluster = Cluster::builder()
            .setting("fsync", fsync)
            .setting("autovacuum", "off")
            .setting("checkpoint_timeout", "1h")
            .start()?;
        Stage::on(cluster).await
    }

    pub(crate) async fn on(cluster: Cluster) -> Result<Stage> {
        // It installs the schema, before there is anything to measure.
        Elector::connect(cluster.url()).await?.shutdown().await;
        Ok(Stage {
            client: connect(&cluster, "postgres").await?,
            cluster,
        })
    }

    /// A session in a database of its own.
    pub(crate) async fn watch(&self) -> Result<Client> {
        connect(&self.cluster, "template1").await
    }

    /// The machine and the server, in a line.
    pub(crate) async fn describe(&self) -> Result<String> {
        let row = self
            .client
            .query_one(
                "SELECT split_part(version(), ' (', 1), current_setting('fsync')",
                &[],
            )
            .await?;
        let (version, fsync): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let processors = std::thread::available_parallelism()?;
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
            .unwrap_or(std::env::consts::ARCH)
            .to_owned();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        Ok(format!(
            "{version}, fsync {fsync}; {processors} processors ({model}), load before the start {load}"
        ))
    }
}

async fn connect(cluster: &Cluster, database: &str) -> Result<Client> {
    let conninfo = format!("{} dbname={database}", cluster.socket_conninfo());
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
