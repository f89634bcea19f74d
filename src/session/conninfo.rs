//! Connection strings: what `tokio_postgres` does not read itself.

use std::str::FromStr;

use tokio_postgres::Config as PgConfig;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use crate::error::{Error, Kind};

/// How much TLS must prove, as libpq's `sslmode` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A connection string, read.
pub(crate) struct Conninfo {
    pub(crate) postgres: PgConfig,
    pub(crate) trust: Trust,
    /// A file of root certificates instead of the system's.
    pub(crate) root_certificates: Option<String>,
}

impl FromStr for Conninfo {
    type Err = Error;

    fn from_str(conninfo: &str) -> Result<Self, Error> {
        let (rest, taken) = match conninfo.split_once("://") {
            Some(_) => split_url(conninfo),
            None => split_pairs(conninfo)?,
        };
        let taken = |name: &str| {
            taken
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let root_certificates = taken("sslrootcert").filter(|file| file != "system");
        let mut trust = match taken("sslmode").as_deref() {
            None if taken("sslrootcert").as_deref() == Some("system") => Trust::VerifyFull,
            None | Some("prefer" | "allow") => Trust::Prefer,
            Some("disable") => Trust::Disable,
            Some("require") => Trust::Require,
            Some("verify-ca") => Trust::VerifyCa,
            Some("verify-full") => Trust::VerifyFull,
            Some(other) => {
                return Err(wrong(format!(
                    "sslmode={other}: give disable, allow, prefer, require, verify-ca or verify-full"
                )));
            }
        };
        // As libpq does: whoever names a root wants the chain verified.
        if trust == Trust::Require && root_certificates.is_some() {
            trust = Trust::VerifyCa;
        }
        if matches!(
            taken("target_session_attrs").as_deref(),
            Some("standby" | "read-only" | "prefer-standby")
        ) {
            return Err(wrong(
                "target_session_attrs asks for a standby, and only a primary can hold a leadership: \
                 give read-write"
                    .to_owned(),
            ));
        }
        let mut postgres = PgConfig::from_str(&rest)
            .map_err(|error| Error::caused(Kind::Conninfo(describe(&error)), error))?;
        postgres.ssl_mode(match trust {
            Trust::Disable => SslMode::Disable,
            Trust::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        // A standby is refused when the session proves itself, with an error of our own.
        postgres.target_session_attrs(TargetSessionAttrs::Any);
        if postgres.get_hosts().is_empty() && postgres.get_hostaddrs().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        if postgres.get_user().is_none() {
            return Err(wrong("it names no user".to_owned()));
        }
        Ok(Conninfo {
            postgres,
            trust,
            root_certificates,
        })
    }
}

const OURS: [&str; 3] = ["sslmode", "sslrootcert", "target_session_attrs"];

fn wrong(what: String) -> Error {
    Error::new(Kind::Conninfo(what))
}

fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

type Split = (String, Vec<(String, String)>);

fn split_url(url: &str) -> Split {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), vec![]);
    };
    let mut rest = vec![];
    let mut taken = vec![];
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some((key, value)) if OURS.contains(&key) => {
                let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                taken.push((key.to_owned(), value.into_owned()));
            }
            _ => rest.push(pair),
        }
    }
    (format!("{base}?{}", rest.join("&")), taken)
}

/// `key = value` pairs as libpq reads them: values may be quoted with `'`, and `\` escapes.
fn split_pairs(text: &str) -> Result<Split, Error> {
    let mut rest = String::new();
    let mut taken = vec![];
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok((rest, taken));
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(wrong(format!("there is no = after \"{key}\"")));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if quoted || !c.is_whitespace() => value.push(c),
                None if quoted => {
                    return Err(wrong(format!("the quote of \"{key}\" is not closed")));
                }
                _ => break,
            }
        }
        if OURS.contains(&key.as_str()) {
            taken.push((key, value));
        } else {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            rest.push_str(&format!("{key}='{value}' "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(conninfo: &str) -> Conninfo {
        conninfo.parse().unwrap()
    }

    fn refusal(conninfo: &str) -> String {
        conninfo.parse::<Conninfo>().err().unwrap().to_string()
    }

    #[test]
    fn sslmode_is_read_from_both_forms() {
        for (mode, trust) in [
            ("disable", Trust::Disable),
            ("allow", Trust::Prefer),
            ("prefer", Trust::Prefer),
            ("require", Trust::Require),
            ("verify-ca", Trust::VerifyCa),
            ("verify-full", Trust::VerifyFull),
        ] {
            assert_eq!(
                read(&format!("postgres://u@h/d?sslmode={mode}")).trust,
                trust
            );
            assert_eq!(
                read(&format!("host=h user=u sslmode={mode} dbname=d")).trust,
                trust
            );
        }
        assert_eq!(read("host=h user=u").trust, Trust::Prefer);
        assert!(refusal("host=h user=u sslmode=maybe").contains("verify-full"));
    }

    #[test]
    fn a_named_root_makes_require_verify_the_chain() {
        let conninfo = read("postgres://u@h/d?sslmode=require&sslrootcert=%2Fetc%2Fca.pem");
        assert_eq!(conninfo.trust, Trust::VerifyCa);
        assert_eq!(conninfo.root_certificates.as_deref(), Some("/etc/ca.pem"));
        assert_eq!(
            read("host=h user=u sslrootcert=system").trust,
            Trust::VerifyFull
        );
    }

    #[test]
    fn quotes_and_escapes_survive() {
        let conninfo = read(r"host=h user='o\'neil' password = 'a b\\c' sslmode=disable");
        assert_eq!(conninfo.postgres.get_user(), Some("o'neil"));
        assert_eq!(conninfo.postgres.get_password(), Some(&br"a b\c"[..]));
    }

    #[test]
    fn several_hosts_are_kept_in_order() {
        let conninfo = read("postgres://u@a:1,b:2/d?target_session_attrs=read-write");
        assert_eq!(conninfo.postgres.get_hosts().len(), 2);
        assert_eq!(conninfo.postgres.get_ports(), [1, 2]);
    }

    #[test]
    fn what_cannot_work_is_refused_in_words() {
        assert!(refusal("postgres://u@h/d?target_session_attrs=standby").contains("primary"));
        assert!(refusal("host=h user='u").contains("not closed"));
        assert!(refusal("host").contains("no ="));
        assert!(refusal("user=u").contains("no host"));
        assert!(refusal("host=h").contains("no user"));
    }
}
