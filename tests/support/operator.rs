//! An operator at psql, with the rights of one and no more.

use pg_leader::testing::Cluster;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::cluster::Server;
use super::{client, elector, url_of};

pub struct Operator {
    pub client: Client,
}

impl Operator {
    /// On a new cluster: whoever its URL is of installs the schema, too.
    pub async fn of(cluster: &impl Server) -> Operator {
        elector(cluster).await.shutdown().await;
        let cluster = cluster.cluster();
        let owner = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'pgleader'";
        let owner = cluster.query(owner).expect("the superuser may");
        cluster
            .execute(&format!(
                "CREATE ROLE operator LOGIN; SET ROLE {}; SELECT pgleader.grant_operator('operator')",
                owner.expect("the schema is installed")
            ))
            .expect("the owner grants");
        Operator::again(cluster).await
    }

    pub async fn again(cluster: &Cluster) -> Operator {
        let client = client(&url_of(cluster, "operator")).await;
        Operator { client }
    }

    async fn ask(&self, call: &str) -> Result<Option<String>, tokio_postgres::Error> {
        let takes_back = call.starts_with("resume") || call.starts_with("include");
        let statement = match takes_back {
            true => format!("SELECT pgleader.{call} IS NOT NULL"),
            false => format!("SELECT term FROM pgleader.{call}"),
        };
        let answer = self.client.simple_query(&statement).await?;
        let value = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        });
        Ok(value.flatten())
    }

    /// The term that ends by a lever, or whether there was anything to take back.
    pub async fn call(&self, call: &str) -> Option<String> {
        self.ask(call).await.expect(call)
    }

    /// The SQLSTATE and the words in which it refuses. It says what to do, too.
    pub async fn refused(&self, call: &str) -> String {
        let error = self.ask(call).await.expect_err(call);
        let error = error.as_db_error().expect("the server refuses");
        assert!(error.hint().is_some(), "{call}: no hint");
        format!("{}: {}", error.code().code(), error.message())
    }
}

/// From now on nobody is told anything.
pub fn lose_notifications(cluster: &Cluster) {
    for function in [
        "announce(mark text, elections integer[], wait_ms integer)",
        "notify(election integer)",
    ] {
        cluster
            .execute(&format!(
                "CREATE OR REPLACE FUNCTION pgleader.{function} RETURNS void LANGUAGE sql AS $$ SELECT $$"
            ))
            .expect("the superuser may");
    }
}
