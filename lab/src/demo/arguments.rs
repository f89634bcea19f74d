//! The command line. By hand: a parser of command lines would be a tenth of what the demo compiles.

const USAGE: &str = "\
Three processes, five mishaps, never two leaders

Starts three candidates, each a process of its own, and shows who leads. Then the leader steps down, its session is
killed from SQL, its process is killed with kill -9, another is stopped with SIGSTOP and continued later, and the
server crashes. For each the demo prints how long nobody was at work, how long two were (never), and the new term.
Takes about 15 seconds.

Usage: cargo demo [OPTIONS]

Options:
      --database-url <URL>  Use this database instead of a throw-away cluster. Such a server is not crashed; the
                            schema `pgleader` and the history of one election stay there
      --keep                Stay up afterwards until Ctrl-C, and print how to connect with psql and what to try there
      --plain               Plain lines instead of the live view, as when stdout is no terminal
  -h, --help                Print this

EXIT STATUS
  0    everything held: never two at work, terms rise, every gap within its bound
  1    something did not hold, or could not be done
  2    the command line is wrong
  130  interrupted

ENVIRONMENT
  DATABASE_URL           the database to use instead of a throw-away cluster
  PG_LEADER_POSTGRES_BIN the directory of the server's binaries, for the throw-away cluster
  NO_COLOR               plain lines";

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    /// None, or an empty one: a throw-away cluster.
    pub(crate) database_url: Option<String>,
    pub(crate) keep: bool,
    pub(crate) plain: bool,
}

/// Why there is nothing to show.
#[derive(Debug, PartialEq)]
pub(crate) enum Unusual {
    Help,
    Wrong(String),
}

impl Unusual {
    /// What to print, and the exit status.
    pub(crate) fn tell(&self) -> u8 {
        match self {
            Unusual::Help => {
                println!("{USAGE}");
                0
            }
            Unusual::Wrong(why) => {
                eprintln!("error: {why}\n\nFor more information, try '--help'.");
                2
            }
        }
    }
}

impl Arguments {
    /// Those of this process. What an argument says goes before the environment.
    pub(crate) fn of_process() -> Result<Arguments, Unusual> {
        let mut arguments = Arguments::parse(std::env::args().skip(1))?;
        if arguments.database_url.is_none() {
            arguments.database_url = std::env::var("DATABASE_URL").ok();
        }
        Ok(arguments)
    }

    fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, Unusual> {
        let mut arguments = Arguments::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-h" | "--help" => return Err(Unusual::Help),
                "--keep" => arguments.keep = true,
                "--plain" => arguments.plain = true,
                "--database-url" => {
                    let url = words.next();
                    let url = url.ok_or_else(|| Unusual::Wrong(format!("{word} needs a URL")))?;
                    arguments.database_url = Some(url);
                }
                _ => match word.strip_prefix("--database-url=") {
                    Some(url) => arguments.database_url = Some(url.to_owned()),
                    None => return Err(Unusual::Wrong(format!("unexpected argument '{word}'"))),
                },
            }
        }
        Ok(arguments)
    }

    /// The database that was named; an empty variable names none.
    pub(crate) fn named_database(&self) -> Option<&str> {
        self.database_url.as_deref().filter(|url| !url.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Unusual> {
        Arguments::parse(line.split_whitespace().map(ToOwned::to_owned))
    }

    #[test]
    fn each_argument_is_understood() {
        assert_eq!(parse(""), Ok(Arguments::default()));
        for line in [
            "--keep --plain --database-url postgres://a",
            "--plain --database-url=postgres://a --keep",
        ] {
            let wanted = Arguments {
                database_url: Some("postgres://a".to_owned()),
                keep: true,
                plain: true,
            };
            assert_eq!(parse(line), Ok(wanted));
        }
        assert_eq!(parse("--plain -h"), Err(Unusual::Help));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["--kep", "now", "--database-url"] {
            assert!(matches!(parse(line), Err(Unusual::Wrong(_))), "{line}");
        }
    }

    #[test]
    fn an_empty_url_names_no_database() {
        assert_eq!(parse("--database-url=").unwrap().named_database(), None);
    }
}
