//! Statements, for those who cannot wait asynchronously.

use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::ClusterError;

/// Run `statement` on a connection of its own, on a thread of its own: so it works inside a runtime too.
/// The first column of the first row, where there is one.
pub(crate) fn run(conninfo: &str, statement: &str) -> Result<Option<String>, ClusterError> {
    let (conninfo, text) = (conninfo.to_owned(), statement.to_owned());
    let thread = std::thread::spawn(move || -> Result<Option<String>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let describe = |error: tokio_postgres::Error| match error.as_db_error() {
                Some(db) => db.message().to_owned(),
                None => error.to_string(),
            };
            let (client, connection) = tokio_postgres::connect(&conninfo, NoTls)
                .await
                .map_err(describe)?;
            let connection = tokio::spawn(connection);
            let messages = client.simple_query(&text).await.map_err(describe);
            // Its last client gone, the connection says goodbye: the server counts no session that was abandoned.
            drop(client);
            let _ = connection.await;
            let messages = messages?;
            Ok(messages.into_iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }))
        })
    });
    let result = thread
        .join()
        .unwrap_or_else(|_| Err("the statement's thread panicked".to_owned()));
    result.map_err(|message| ClusterError::Sql {
        statement: statement.to_owned(),
        message,
    })
}
