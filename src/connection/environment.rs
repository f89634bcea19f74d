//! What a connection string leaves out, from where every Postgres tool looks for it: a service file, the
//! `PG*` variables, a password file, a file of root certificates.

use std::path::{Path, PathBuf};

use super::parse::{Parameters, wrong};
use crate::error::Error;
use crate::platform::process;

/// Variable and key, as libpq has them.
const VARIABLES: [(&str, &str); 26] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGOPTIONS", "options"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGSSLSNI", "sslsni"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
];

/// Where a server on this machine keeps its Unix socket: Debian's place, and PostgreSQL's own.
pub(super) const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The environment of a process.
pub(super) struct Environment<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    pub(super) home: Option<PathBuf>,
    /// The name of the system's user: to look it up may ask a directory service.
    pub(super) user: &'a dyn Fn() -> Option<String>,
}

impl Environment<'_> {
    pub(super) fn of_process() -> Environment<'static> {
        Environment {
            variable: &|name| std::env::var(name).ok(),
            home: std::env::home_dir(),
            user: &process::user,
        }
    }

    fn set(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Add what is left out: the service's parameters first, then the variables, then the defaults.
    pub(super) fn complete(&self, parameters: &mut Parameters) -> Result<(), Error> {
        // A host that was named is not the one whose address a variable holds, nor the other way round.
        let placed = |parameters: &Parameters| {
            parameters
                .get("host")
                .or(parameters.get("hostaddr"))
                .is_some()
        };
        if let Some(service) = parameters.take("service").or_else(|| self.set("PGSERVICE")) {
            let of_service = self.service(&service)?;
            let place_given = placed(parameters);
            for (key, value) in of_service {
                let place = matches!(key.as_str(), "host" | "hostaddr");
                if parameters.get(&key).is_none() && !(place && place_given) {
                    parameters.add(&key, value);
                }
            }
        }
        let place_given = placed(parameters);
        for (name, key) in VARIABLES {
            let place = matches!(key, "host" | "hostaddr");
            if parameters.get(key).is_none()
                && !(place && place_given)
                && let Some(value) = self.set(name)
            {
                parameters.add(key, value);
            }
        }
        if !placed(parameters) {
            let port = parameters.get("port").unwrap_or("5432").to_owned();
            let socket = |directory: &&str| {
                Path::new(directory)
                    .join(format!(".s.PGSQL.{port}"))
                    .exists()
            };
            let here = SOCKET_DIRECTORIES.into_iter().find(socket);
            parameters.add("host", here.unwrap_or("localhost"));
        }
        if parameters.get("user").is_none()
            && let Some(user) = (self.user)().or_else(|| self.set("USER"))
        {
            parameters.add("user", user);
        }
        if parameters.get("passfile").is_none()
            && let Some(home) = &self.home
        {
            parameters.add("passfile", home.join(".pgpass").display().to_string());
        }
        // Whoever asks for less than `require` has nothing verified, and needs no root.
        if parameters.get("sslrootcert").is_none()
            && asks_for_tls(parameters)
            && let Some(home) = &self.home
        {
            let root = home.join(".postgresql/root.crt");
            if root.exists() {
                parameters.add("sslrootcert", root.display().to_string());
            }
        }
        if let Some(home) = &self.home {
            complete_certificate(parameters, &home.join(".postgresql"));
        }
        Ok(())
    }

    /// The section of that name in the user's file, else in the system's.
    fn service(&self, name: &str) -> Result<Vec<(String, String)>, Error> {
        let own = self.set("PGSERVICEFILE").map(PathBuf::from);
        let own = own.or_else(|| Some(self.home.as_ref()?.join(".pg_service.conf")));
        let system = self.set("PGSYSCONFDIR");
        let system = system.unwrap_or_else(|| "/etc/postgresql-common".to_owned());
        let files = own
            .into_iter()
            .chain([Path::new(&system).join("pg_service.conf")]);
        let mut looked_at = vec![];
        for file in files {
            looked_at.push(file.display().to_string());
            let Ok(text) = std::fs::read_to_string(&file) else {
                continue;
            };
            if let Some(parameters) = section(&text, name)
                .map_err(|line| wrong(format!("{}: \"{line}\" is no key=value", file.display())))?
            {
                return Ok(parameters);
            }
        }
        Err(wrong(format!(
            "there is no service \"{name}\" in {}",
            looked_at.join(" or ")
        )))
    }
}

fn asks_for_tls(parameters: &Parameters) -> bool {
    let sslmode = parameters.get("sslmode");
    matches!(sslmode, Some("require" | "verify-ca" | "verify-full"))
}

/// What is not named of a client's certificate and its key is the user's own, where there is one. Neither is looked for by
/// whoever asks for less than `require`: a file that cannot be read would cost a connection that needs none.
fn complete_certificate(parameters: &mut Parameters, directory: &Path) {
    let own = ["postgresql.crt", "postgresql.key"].map(|name| directory.join(name));
    let named = ["sslcert", "sslkey"].map(|key| parameters.get(key).is_some());
    let wanted =
        named[0] || named[1] || (asks_for_tls(parameters) && own.iter().all(|file| file.exists()));
    for ((key, file), named) in ["sslcert", "sslkey"].into_iter().zip(own).zip(named) {
        if wanted && !named && file.exists() {
            parameters.add(key, file.display().to_string());
        }
    }
}

/// The parameters under `[name]`; the line that is none, where there is one.
fn section(text: &str, name: &str) -> Result<Option<Vec<(String, String)>>, String> {
    let heading = format!("[{name}]");
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    if !lines.any(|line| line == heading) {
        return Ok(None);
    }
    lines
        .take_while(|line| !line.starts_with('['))
        .map(|line| {
            let (key, value) = line.split_once('=').ok_or_else(|| line.to_owned())?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// A password file: the first line that fits tells the password. Why it is ignored, where it must be.
pub(super) fn password(file: &Path, place: [&str; 4]) -> Result<Option<String>, String> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(file) else {
        return Ok(None);
    };
    let name = file.display();
    if !metadata.is_file() {
        return Err(format!("{name} is ignored: it is no plain file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "{name} is ignored, as others may read it: chmod 600 {name}"
        ));
    }
    let Ok(text) = std::fs::read_to_string(file) else {
        return Ok(None);
    };
    let password = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(fields)
        .find_map(|fields| {
            let [wanted @ .., password] = &fields[..] else {
                return None;
            };
            let fits = wanted.len() == place.len()
                && wanted
                    .iter()
                    .zip(place)
                    .all(|(field, value)| field == "*" || field == value);
            fits.then(|| password.clone())
        });
    Ok(password)
}

/// Fields are separated by `:`; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, fields.last_mut()) {
            (':', _) => fields.push(String::new()),
            ('\\', Some(field)) => field.extend(chars.next()),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Place {
        home: tempfile::TempDir,
        variables: HashMap<&'static str, String>,
    }

    impl Place {
        fn new(variables: &[(&'static str, &str)]) -> Place {
            let variables = variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()));
            Place {
                home: tempfile::tempdir().unwrap(),
                variables: variables.collect(),
            }
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            use std::os::unix::fs::PermissionsExt;
            let file = self.home.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            file
        }

        fn complete(&self, conninfo: &str) -> Result<Parameters, Error> {
            let variable = |name: &str| self.variables.get(name).cloned();
            let environment = Environment {
                variable: &variable,
                home: Some(self.home.path().to_owned()),
                user: &|| Some("me".to_owned()),
            };
            let mut parameters = Parameters::read(conninfo)?;
            environment.complete(&mut parameters).map(|()| parameters)
        }
    }

    #[test]
    fn the_string_comes_first_then_the_service_then_the_variables() {
        let place = Place::new(&[
            ("PGHOST", "variable"),
            ("PGPORT", "3"),
            ("PGUSER", "variable"),
            ("PGDATABASE", "variable"),
            ("PGSSLMODE", "require"),
            ("PGSERVICE", "mine"),
        ]);
        place.file(
            ".pg_service.conf",
            "# of all\n[other]\nuser=wrong\n[mine]\nuser = service\nport=2\ndbname=service\n[last]\nuser=wrong\n",
        );
        let parameters = place.complete("dbname=string").unwrap();
        for (key, value) in [
            ("dbname", "string"),
            ("user", "service"),
            ("port", "2"),
            ("host", "variable"),
            ("sslmode", "require"),
        ] {
            assert_eq!(parameters.get(key), Some(value), "{key}");
        }
        let parameters = place.complete("service=last").unwrap();
        assert_eq!(parameters.get("user"), Some("wrong"));
        let refusal = place.complete("service=none").unwrap_err().to_string();
        assert!(refusal.contains("no service \"none\" in"), "{refusal}");
    }

    #[test]
    fn a_named_host_is_not_looked_for_at_the_address_of_another() {
        let place = Place::new(&[("PGHOSTADDR", "10.0.0.1"), ("PGUSER", "u")]);
        assert_eq!(place.complete("host=h").unwrap().get("hostaddr"), None);
        let parameters = place.complete("").unwrap();
        assert_eq!(parameters.get("hostaddr"), Some("10.0.0.1"));
        assert_eq!(parameters.get("host"), None);
    }

    #[test]
    fn the_root_certificates_of_the_user_count_where_something_is_verified() {
        let place = Place::new(&[("PGUSER", "u"), ("PGHOST", "h")]);
        let root = |conninfo: &str| {
            let parameters = place.complete(conninfo).unwrap();
            parameters.get("sslrootcert").map(ToOwned::to_owned)
        };
        assert_eq!(root("sslmode=verify-full"), None);
        std::fs::create_dir(place.home.path().join(".postgresql")).unwrap();
        let file = place.file(".postgresql/root.crt", "");
        let file = Some(file.display().to_string());
        for mode in ["require", "verify-ca", "verify-full"] {
            assert_eq!(root(&format!("sslmode={mode}")), file, "{mode}");
        }
        assert_eq!(root("sslmode=prefer"), None);
        assert_eq!(root(""), None);
        let named = root("sslmode=verify-ca sslrootcert=mine");
        assert_eq!(named.as_deref(), Some("mine"));
    }

    #[test]
    fn the_certificate_of_the_user_is_shown_to_whom_tls_is_asked_of() {
        let place = Place::new(&[("PGUSER", "u"), ("PGHOST", "h")]);
        std::fs::create_dir(place.home.path().join(".postgresql")).unwrap();
        let pair = |conninfo: &str| {
            let parameters = place.complete(conninfo).unwrap();
            ["sslcert", "sslkey"].map(|key| parameters.get(key).map(ToOwned::to_owned))
        };
        let files = ["postgresql.crt", "postgresql.key"].map(|name| {
            let file = place.file(&format!(".postgresql/{name}"), "");
            Some(file.display().to_string())
        });
        assert_eq!(pair("sslmode=verify-full"), files);
        assert_eq!(pair("sslmode=prefer"), [None, None]);
        assert_eq!(pair(""), [None, None]);
        let named = pair("sslcert=mine");
        assert_eq!(named, [Some("mine".to_owned()), files[1].clone()]);
    }

    #[test]
    fn without_anything_it_is_this_machine_and_this_user() {
        let place = Place::new(&[("USER", "other"), ("PGPORT", "1"), ("PGUSER", "")]);
        let parameters = place.complete("").unwrap();
        assert_eq!(parameters.get("host"), Some("localhost"));
        assert_eq!(parameters.get("user"), Some("me"));
    }

    #[test]
    fn the_first_line_that_fits_tells_the_password() {
        let place = Place::new(&[]);
        let file = place.file(
            ".pgpass",
            "# comment\nh:5432:d\nh:5432:other:u:wrong\nh:*:d:u:a\\:b\\\\c\n*:*:*:*:last\n",
        );
        let of = |host, user| password(&file, [host, "5432", "d", user]).unwrap();
        assert_eq!(of("h", "u").as_deref(), Some(r"a:b\c"));
        assert_eq!(of("h", "other").as_deref(), Some("last"));
    }

    #[test]
    fn a_password_file_that_is_none_or_that_others_may_read_is_ignored() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new(&[]);
        let none = place.home.path();
        let ignored = password(none, ["h", "5432", "d", "u"]).unwrap_err();
        assert!(ignored.contains("no plain file"), "{ignored}");
        let missing = place.home.path().join("missing");
        assert_eq!(password(&missing, ["h", "5432", "d", "u"]), Ok(None));
        let file = place.file(".pgpass", "*:*:*:*:secret\n");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let ignored = password(&file, ["h", "5432", "d", "u"]).unwrap_err();
        assert!(ignored.contains("chmod 600"), "{ignored}");
    }
}
