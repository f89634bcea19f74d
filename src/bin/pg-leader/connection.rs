//! Where the database is: the options that every subcommand has.

use pg_leader::Config;

use crate::exit::Failure;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The database: a URL or a key-value string, as libpq reads them.
    ///
    /// Where it is not given, it is made of PGHOST, PGPORT, PGUSER,
    /// PGDATABASE, PGPASSWORD, PGSSLMODE and PGSSLROOTCERT. A password given here can be seen by everybody who
    /// may list processes: use the environment.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,
}

/// libpq's variables and the keys of a connection string that they stand for.
const VARIABLES: [(&str, &str); 7] = [
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGDATABASE", "dbname"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
];

impl Connection {
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let named = self.database_url.as_deref().filter(|url| !url.is_empty());
        match named {
            Some(conninfo) => Ok(Config::new(conninfo)),
            None => from_environment(|name| std::env::var(name).ok())
                .map(Config::new)
                .ok_or_else(|| {
                    Failure::usage(
                        "no database is named: give --database-url, or set DATABASE_URL, or PGHOST and PGUSER",
                    )
                }),
        }
    }
}

/// A key-value string of libpq's variables.
fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let pairs: Vec<String> = VARIABLES
        .iter()
        .filter_map(|(name, key)| Some((key, variable(name).filter(|value| !value.is_empty())?)))
        .map(|(key, value)| {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            format!("{key}='{value}'")
        })
        .collect();
    (!pairs.is_empty()).then(|| pairs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_pairs_with_their_values_quoted() {
        let pairs = from_environment(|name| match name {
            "PGHOST" => Some("db".to_owned()),
            "PGPASSWORD" => Some(r"it's \ secret".to_owned()),
            "PGUSER" => Some(String::new()),
            _ => None,
        });
        assert_eq!(
            pairs.as_deref(),
            Some(r"host='db' password='it\'s \\ secret'")
        );
        assert_eq!(from_environment(|_| None), None);
    }
}
