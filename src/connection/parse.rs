//! The two forms of a connection string, as the pairs of key and value that both stand for.

use percent_encoding::percent_decode_str;

use crate::error::{Error, Kind};

/// Keys and values in the order in which they were given. The last of a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Read a URL or a key-value string.
    pub(super) fn read(text: &str) -> Result<Parameters, Error> {
        match text.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => read_url(rest),
            // Only a URL has this before its first space and before its first `=`.
            Some((scheme, _)) if !scheme.contains(['=', ' ']) => Err(wrong(
                "a URL begins with postgres:// or postgresql://".to_owned(),
            )),
            _ => read_key_values(text),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let given = self.0.iter().rev().find(|(name, _)| name == key);
        given.map(|(_, value)| value.as_str())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let value = self.get(key).map(str::to_owned);
        self.0.retain(|(name, _)| name != key);
        value
    }

    pub(super) fn add(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// As one key-value string, each key once.
    pub(super) fn to_key_values(&self) -> String {
        let last = self.0.iter().enumerate().filter(|(index, (key, _))| {
            let later = &self.0[index + 1..];
            !later.iter().any(|(other, _)| other == key)
        });
        last.map(|(_, (key, value))| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("{key}='{value}' ")
        })
        .collect()
    }
}

pub(super) fn wrong(what: String) -> Error {
    Error::new(Kind::Conninfo(what))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// `[user[:password]@][host[:port]][,…][/database][?key=value[&…]]`
fn read_url(rest: &str) -> Result<Parameters, Error> {
    let mut parameters = Parameters::default();
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = base.split_once('/').unwrap_or((base, ""));
    let (login, places) = match authority.rsplit_once('@') {
        Some((login, places)) => (login, places),
        None => ("", authority),
    };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    if !user.is_empty() {
        parameters.add("user", decode(user));
    }
    if let Some(password) = password {
        parameters.add("password", decode(password));
    }
    if !places.is_empty() {
        let split: Result<Vec<_>, Error> = places.split(',').map(place).collect();
        let (hosts, ports): (Vec<String>, Vec<&str>) = split?.into_iter().unzip();
        if hosts.iter().any(|host| !host.is_empty()) {
            parameters.add("host", hosts.join(","));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            parameters.add("port", ports.join(","));
        }
    }
    if !database.is_empty() {
        parameters.add("dbname", decode(database));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong(format!("there is no = after \"{pair}\"")))?;
        match (key, value) {
            ("ssl", "true") => parameters.add("sslmode", "require"),
            _ => parameters.add(&decode(key), decode(value)),
        }
    }
    Ok(parameters)
}

/// A host and its port, which may be left out. An IPv6 address stands in brackets.
fn place(text: &str) -> Result<(String, &str), Error> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => inside
            .split_once(']')
            .ok_or_else(|| wrong(format!("the bracket of \"{text}\" is not closed")))?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((decode(host), port)),
        None if rest.is_empty() => Ok((decode(host), "")),
        None => Err(wrong(format!("\"{text}\" is no host and port"))),
    }
}

/// `key = value` pairs as libpq reads them: values may be quoted with `'`, and `\` escapes.
fn read_key_values(text: &str) -> Result<Parameters, Error> {
    let mut parameters = Parameters::default();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(parameters);
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
        parameters.add(&key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        Parameters::read(text).unwrap().0
    }

    #[test]
    fn a_url_is_what_its_key_values_are() {
        for (url, key_values) in [
            ("postgres://u@h/d", "user=u host=h dbname=d"),
            (
                "postgresql://o%27neil:a%20b@h:1,[::1]:2,c/my%2Fdb?sslmode=disable&options=-c%20a%3D1",
                r"user='o\'neil' password='a b' host='h,::1,c' port='1,2,' dbname=my/db sslmode=disable options='-c a=1'",
            ),
            ("postgres://%2Frun%2Fpg:1/d", "host=/run/pg port=1 dbname=d"),
            ("postgres:///d?host=/tmp", "dbname=d host=/tmp"),
            ("postgres://", ""),
            ("postgres://:1", "port=1"),
            ("postgres://h?ssl=true", "host=h sslmode=require"),
        ] {
            assert_eq!(read(url), read(key_values), "{url}");
        }
    }

    #[test]
    fn a_key_value_string_may_hold_a_url() {
        let parameters = Parameters::read("host=h password=a://b").unwrap();
        assert_eq!(parameters.get("password"), Some("a://b"));
    }

    #[test]
    fn the_last_of_a_key_counts_and_is_given_once() {
        let mut parameters = Parameters::read(r"host=a user=u host='b\'c'").unwrap();
        assert_eq!(parameters.get("host"), Some("b'c"));
        assert_eq!(parameters.to_key_values(), r"user='u' host='b\'c' ");
        assert_eq!(parameters.take("host").as_deref(), Some("b'c"));
        assert_eq!(parameters.get("host"), None);
    }

    #[test]
    fn what_is_no_connection_string_is_refused_in_words() {
        for (text, word) in [
            ("mysql://u@h/d", "postgres://"),
            ("host", "no ="),
            ("host=h user='u", "not closed"),
            ("postgres://u@[::1/d", "not closed"),
            ("postgres://u@[::1]x/d", "no host and port"),
            ("postgres://u@h/d?sslmode", "no ="),
        ] {
            let refusal = Parameters::read(text).unwrap_err().to_string();
            assert!(refusal.contains(word), "{text}: {refusal}");
        }
    }
}
