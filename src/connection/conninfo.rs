//! Connection strings: what `tokio_postgres` does not read itself.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config as PgConfig;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::environment::{self, Environment, SOCKET_DIRECTORIES};
use super::parse::{Parameters, wrong};
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

/// What libpq knows and `tokio_postgres` refuses.
const ASK_FOR_NOTHING: [&str; 11] = [
    "fallback_application_name",
    "sslcompression",
    "krbsrvname",
    "gssencmode",
    "gssdelegation",
    "client_encoding",
    "sslsni",
    "sslcertmode",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
];

/// What libpq knows, and what to do instead.
const NOT_HERE: [(&str, &str); 9] = [
    (
        "sslpassword",
        "encrypted keys are not read here: give sslkey a file that nobody else may read, made by openssl pkey",
    ),
    (
        "sslcrl",
        "lists of revoked certificates are not read here: leave it out",
    ),
    (
        "sslcrldir",
        "lists of revoked certificates are not read here: leave it out",
    ),
    (
        "sslcertmode",
        "give allow, or disable with no sslcert; the server's pg_hba.conf is who can require a certificate",
    ),
    (
        "ssl_min_protocol_version",
        "TLS 1.2 and 1.3 are spoken: give TLSv1.2, or leave it out",
    ),
    (
        "ssl_max_protocol_version",
        "TLS 1.2 and 1.3 are spoken: give TLSv1.3, or leave it out",
    ),
    (
        "requirepeer",
        "whose server it is, is not looked at here: connect by TCP with sslmode=verify-full",
    ),
    (
        "require_auth",
        "how the server asks for a password is not looked at here: give channel_binding=require",
    ),
    (
        "sslnegotiation",
        "TLS is asked for as all versions know it: give postgres, or leave it out",
    ),
];

/// Whether leaving such a parameter out changes nothing: the session has a name of its own, GSSAPI is never
/// used, text is UTF-8, TLS is not compressed and names the host.
fn asks_for_nothing(key: &str, value: &str) -> bool {
    match key {
        "fallback_application_name" | "sslcompression" | "krbsrvname" => true,
        "gssencmode" => matches!(value, "disable" | "prefer"),
        "gssdelegation" => value == "0",
        "sslsni" => value == "1",
        "sslcertmode" => value == "allow",
        "sslnegotiation" => value == "postgres",
        "ssl_min_protocol_version" => matches!(value, "" | "TLSv1" | "TLSv1.1" | "TLSv1.2"),
        "ssl_max_protocol_version" => matches!(value, "" | "TLSv1.3"),
        _ => ["utf8", "utf-8", "unicode", "auto"].contains(&value.to_lowercase().as_str()),
    }
}

/// A connection string, read.
pub(crate) struct Conninfo {
    pub(crate) postgres: PgConfig,
    pub(crate) trust: Trust,
    /// A file of root certificates instead of the system's.
    pub(crate) root_certificates: Option<String>,
    /// The files of this client's own certificate and its key.
    pub(crate) certificate: Option<[PathBuf; 2]>,
    /// Where a password is looked for that is given nowhere else.
    passfile: Option<PathBuf>,
}

impl Conninfo {
    /// `environment`: what the string leaves out comes from the process's environment, as libpq has it.
    pub(crate) fn read(text: &str, environment: bool) -> Result<Conninfo, Error> {
        let mut parameters = Parameters::read(text)?;
        if environment {
            Environment::of_process().complete(&mut parameters)?;
        }
        Conninfo::from_parameters(parameters)
    }

    fn from_parameters(mut parameters: Parameters) -> Result<Conninfo, Error> {
        let root_certificates = parameters.take("sslrootcert");
        let system = root_certificates.as_deref() == Some("system");
        let root_certificates = root_certificates.filter(|_| !system);
        let mut trust = match parameters.take("sslmode").as_deref() {
            None if system => Trust::VerifyFull,
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
        let certificate = own_certificate(&mut parameters)?.filter(|_| trust != Trust::Disable);
        asks_for_a_primary(parameters.take("target_session_attrs").as_deref())?;
        let passfile = parameters.take("passfile").map(PathBuf::from);
        if parameters.get("service").is_some() {
            return Err(wrong(
                "it names a service, and the service file is not read here: Config::environment(true) does"
                    .to_owned(),
            ));
        }
        for key in ASK_FOR_NOTHING {
            if parameters
                .get(key)
                .is_some_and(|value| asks_for_nothing(key, value))
            {
                parameters.take(key);
            }
        }
        for (key, instead) in NOT_HERE {
            if trust == Trust::Disable && key.starts_with("ssl") {
                parameters.take(key);
            }
            if let Some(value) = parameters.get(key) {
                return Err(wrong(format!("{key}={value}: {instead}")));
            }
        }
        let mut postgres = PgConfig::from_str(&parameters.to_key_values())
            .map_err(|error| Error::caused(Kind::Conninfo(describe(&error)), error))?;
        postgres.ssl_mode(match trust {
            Trust::Disable => SslMode::Disable,
            Trust::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        // A standby is refused when the session proves itself, with an error of our own.
        postgres.target_session_attrs(TargetSessionAttrs::Any);
        pairs(&postgres)?;
        if postgres.get_user().is_none() {
            return Err(wrong("it names no user".to_owned()));
        }
        Ok(Conninfo {
            postgres,
            trust,
            root_certificates,
            certificate,
            passfile,
        })
    }

    /// For one of its hosts, with the password that the password file has for it. Reads files. `warnings`:
    /// what somebody should be told.
    pub(crate) fn at(&self, host: &Host, port: u16, warnings: &mut Vec<String>) -> PgConfig {
        let mut postgres = self.postgres.clone();
        if let (None, Some(file)) = (postgres.get_password(), &self.passfile) {
            let user = postgres.get_user().unwrap_or_default();
            let database = postgres.get_dbname().unwrap_or(user);
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path)
                    if SOCKET_DIRECTORIES
                        .iter()
                        .any(|usual| path.as_os_str() == *usual) =>
                {
                    "localhost".to_owned()
                }
                Host::Unix(path) => path.display().to_string(),
            };
            let place = [host.as_str(), &port.to_string(), database, user];
            match environment::password(file, place) {
                Ok(None) => {}
                Ok(Some(password)) => {
                    postgres.password(password);
                }
                Err(warning) => warnings.push(warning),
            }
        }
        postgres
    }
}

fn own_certificate(parameters: &mut Parameters) -> Result<Option<[PathBuf; 2]>, Error> {
    let files = ["sslcert", "sslkey"].map(|key| parameters.take(key));
    if parameters.get("sslcertmode") == Some("disable") {
        parameters.take("sslcertmode");
        return Ok(None);
    }
    match files.map(|file| file.filter(|file| !file.is_empty()).map(PathBuf::from)) {
        [Some(certificate), Some(key)] => Ok(Some([certificate, key])),
        [None, None] => Ok(None),
        [Some(_), None] => Err(wrong(
            "sslcert names a certificate, and nothing names its key: give sslkey=FILE".to_owned(),
        )),
        [None, Some(_)] => Err(wrong(
            "sslkey names a key, and nothing names its certificate: give sslcert=FILE".to_owned(),
        )),
    }
}

/// A standby is refused when the session proves itself, too.
fn asks_for_a_primary(attributes: Option<&str>) -> Result<(), Error> {
    match attributes {
        None | Some("any" | "read-write" | "primary") => Ok(()),
        Some("standby" | "read-only" | "prefer-standby") => Err(wrong(
            "target_session_attrs asks for a standby, and only a primary can hold a leadership: give read-write"
                .to_owned(),
        )),
        Some(other) => Err(wrong(format!(
            "target_session_attrs={other}: give read-write, primary or any"
        ))),
    }
}

/// Each host has an address of its own, where any has, and a port: one for all, or each its own.
fn pairs(postgres: &PgConfig) -> Result<(), Error> {
    let (hosts, addresses) = (postgres.get_hosts().len(), postgres.get_hostaddrs().len());
    let ports = postgres.get_ports().len();
    let all = hosts.max(addresses);
    if all == 0 {
        return Err(wrong("it names no host".to_owned()));
    }
    if hosts > 0 && addresses > 0 && hosts != addresses {
        return Err(wrong(format!(
            "it names {hosts} hosts and {addresses} addresses (hostaddr): give one for each host"
        )));
    }
    if ports > 1 && ports != all {
        return Err(wrong(format!(
            "it names {all} hosts and {ports} ports: give one port, or one for each host"
        )));
    }
    Ok(())
}

/// As far as can be told without the environment and files.
pub(crate) fn check(text: &str, environment: bool) -> Result<(), Error> {
    if environment {
        Parameters::read(text).map(drop)
    } else {
        Conninfo::read(text, false).map(drop)
    }
}

pub(crate) fn holds_password(text: &str) -> Result<bool, Error> {
    Ok(Parameters::read(text)?.get("password").is_some())
}

fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(conninfo: &str) -> Conninfo {
        Conninfo::read(conninfo, false).unwrap()
    }

    fn refusal(conninfo: &str) -> String {
        Conninfo::read(conninfo, false).err().unwrap().to_string()
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
    fn what_asks_for_nothing_is_left_out() {
        for harmless in [
            "fallback_application_name=psql",
            "gssencmode=disable",
            "gssencmode=prefer",
            "client_encoding=UTF8",
            "client_encoding=auto",
            "sslcompression=0",
            "sslsni=1",
            "krbsrvname=postgres",
        ] {
            read(&format!("host=h user=u {harmless}"));
        }
        for harmful in ["gssencmode=require", "client_encoding=latin1", "sslsni=0"] {
            let key = harmful.split('=').next().unwrap();
            assert!(refusal(&format!("host=h user=u {harmful}")).contains(key));
        }
    }

    #[test]
    fn a_port_for_all_or_one_for_each_host() {
        for fit in [
            "host=a,b,c user=u",
            "host=a,b,c port=1 user=u",
            "host=a,b,c port=1,,3 user=u",
            "postgres://u@a:1,b,c:3/d",
            "postgres://u@a,b/d?port=6432",
            "hostaddr=10.0.0.1,10.0.0.2 port=1,2 user=u",
            "host=a,b hostaddr=10.0.0.1,10.0.0.2 user=u",
        ] {
            read(fit);
        }
        for (unfit, words) in [
            ("host=a,b,c port=1,2 user=u", "3 hosts and 2 ports"),
            ("host=a port=1,2 user=u", "1 hosts and 2 ports"),
            ("postgres://u@a,b,c/d?port=1,2", "3 hosts and 2 ports"),
            (
                "hostaddr=10.0.0.1,10.0.0.2 port=1,2,3 user=u",
                "2 hosts and 3 ports",
            ),
            (
                "host=a,b,c hostaddr=10.0.0.1,10.0.0.2 user=u",
                "3 hosts and 2 addresses",
            ),
        ] {
            let refusal = refusal(unfit);
            assert!(refusal.contains(words), "{unfit}: {refusal}");
        }
    }

    #[test]
    fn a_word_that_is_none_is_refused_with_what_it_was_given_for() {
        for known in ["any", "read-write", "primary"] {
            read(&format!("host=h user=u target_session_attrs={known}"));
        }
        for (key, word) in [
            ("target_session_attrs", "nonsense"),
            ("target_session_attrs", "READ-WRITE"),
            ("channel_binding", "nonsense"),
            ("load_balance_hosts", "nonsense"),
            ("port", "nonsense"),
            ("connect_timeout", "nonsense"),
            ("hostaddr", "nonsense"),
        ] {
            let refusal = refusal(&format!("host=h user=u {key}={word}"));
            assert!(refusal.contains(key), "{key}={word}: {refusal}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_given_together() {
        let both = read("host=h user=u sslcert=/c sslkey=/k");
        assert_eq!(both.certificate, Some(["/c", "/k"].map(PathBuf::from)));
        assert_eq!(read("host=h user=u").certificate, None);
        let none = read("host=h user=u sslcert=/c sslkey=/k sslcertmode=disable");
        assert_eq!(none.certificate, None);
    }

    /// Whoever asks for more than is done here hears of it.
    #[test]
    fn what_is_not_looked_at_here_is_refused_with_what_to_give_instead() {
        for fit in [
            "sslcertmode=allow",
            "sslnegotiation=postgres",
            "ssl_min_protocol_version=TLSv1.2",
            "ssl_max_protocol_version=TLSv1.3",
        ] {
            read(&format!("host=h user=u {fit}"));
        }
        for (unfit, words) in [
            ("sslpassword=p", "openssl pkey"),
            ("sslcrl=/l", "leave it out"),
            ("sslcertmode=require", "pg_hba.conf"),
            ("sslnegotiation=direct", "give postgres"),
            ("ssl_min_protocol_version=TLSv1.3", "TLSv1.2"),
            ("requirepeer=postgres", "verify-full"),
            ("require_auth=scram-sha-256", "channel_binding"),
        ] {
            let refusal = refusal(&format!("host=h user=u {unfit}"));
            assert!(refusal.contains(words), "{unfit}: {refusal}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_in_words() {
        assert!(refusal("postgres://u@h/d?target_session_attrs=standby").contains("primary"));
        assert!(refusal("host=h user=u sslcert=c").contains("sslkey"));
        assert!(refusal("host=h user=u sslkey=k").contains("sslcert"));
        assert!(refusal("service=s").contains("service"));
        assert!(refusal("user=u").contains("no host"));
        assert!(refusal("host=h").contains("no user"));
    }
}
