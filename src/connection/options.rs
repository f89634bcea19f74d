//! The settings of the session, as startup options: defaults of a role or database cannot override them.

use std::time::Duration;

use super::socket::whole_seconds;
use crate::engine::Timings;

pub(crate) struct Options {
    /// Name, value as given, value as the server shows it.
    settings: Vec<(&'static str, String, String)>,
}

impl Options {
    pub(crate) fn new(timings: &Timings) -> Self {
        let milliseconds = |name, duration: Duration| {
            let value = duration.as_millis();
            (name, value.to_string(), shown(value))
        };
        let word = |name, value: &str| (name, value.to_owned(), value.to_owned());
        Options {
            settings: vec![
                milliseconds("idle_session_timeout", timings.patience()),
                milliseconds("statement_timeout", timings.query_limit()),
                milliseconds("lock_timeout", timings.lock_limit()),
                milliseconds("idle_in_transaction_session_timeout", timings.silence_limit),
                word("search_path", "pg_catalog"),
                word("default_transaction_isolation", "read committed"),
                word("default_transaction_read_only", "off"),
                word("default_transaction_deferrable", "off"),
                // A role's `off` would lose a term in a crash, a stuck standby would hang `on`.
                word("synchronous_commit", "local"),
                word("stats_fetch_consistency", "none"),
                word("client_min_messages", "warning"),
                word("client_encoding", "UTF8"),
                word("DateStyle", "ISO, MDY"),
                // Sooner than the silence limit it would end sessions as `sessions_fatal`, which spoils
                // the autopsy of others.
                word("client_connection_check_interval", "0"),
            ],
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|(name, ..)| *name)
    }

    /// Each with its value as it is given.
    pub(crate) fn values(&self) -> (Vec<&str>, Vec<&str>) {
        let settings = self.settings.iter();
        settings
            .map(|(name, value, _)| (*name, value.as_str()))
            .unzip()
    }

    /// The first setting that the server does not show as it was given.
    pub(crate) fn differs(&self, shown: &[String]) -> Option<&str> {
        let mut pairs = self.settings.iter().zip(shown);
        let complete = self.settings.len() == shown.len();
        let different = pairs.find(|((.., expected), shown)| expected != *shown);
        match different {
            Some(((name, ..), _)) => Some(name),
            None if complete => None,
            None => Some("(all of them)"),
        }
    }

    /// As the value of the startup parameter `options`, after those that the user gave.
    pub(crate) fn startup(&self, given: Option<&str>, timings: &Timings) -> String {
        let patience = whole_seconds(timings.silence_limit);
        // On a Unix socket the server shows these as 0, so they are not compared.
        let tcp = [
            ("tcp_keepalives_idle", patience.as_secs()),
            ("tcp_keepalives_interval", patience.as_secs()),
            ("tcp_keepalives_count", 3),
            ("tcp_user_timeout", patience.as_secs() * 1000),
        ];
        let ours = self
            .settings
            .iter()
            .map(|(name, value, _)| (*name, value.clone()));
        let tcp = tcp
            .into_iter()
            .map(|(name, value)| (name, value.to_string()));
        let mut options = given.unwrap_or_default().to_owned();
        for (name, value) in ours.chain(tcp) {
            if name == "client_encoding" {
                // Sent by the client library itself.
                continue;
            }
            let value = value.replace('\\', r"\\").replace(' ', r"\ ");
            options.push_str(&format!(" -c {name}={value}"));
        }
        options
    }
}

/// Whether a refusal names a setting of ours that servers before version 15 do not know.
pub(crate) fn names_a_new_setting(refusal: &str) -> bool {
    [
        "stats_fetch_consistency",
        "idle_session_timeout",
        "client_connection_check_interval",
    ]
    .iter()
    .any(|name| refusal.contains(name))
}

/// A duration in milliseconds as `SHOW` prints it: in the largest unit that divides it.
fn shown(milliseconds: u128) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
        (1, "ms"),
    ];
    match units
        .into_iter()
        .find(|(size, _)| milliseconds > 0 && milliseconds.is_multiple_of(*size))
    {
        Some((size, unit)) => format!("{}{unit}", milliseconds / size),
        None => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_as_the_server_does() {
        for (milliseconds, text) in [
            (0, "0"),
            (1200, "1200ms"),
            (15_000, "15s"),
            (120_000, "2min"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(shown(milliseconds), text);
        }
    }

    #[test]
    fn a_setting_that_did_not_take_effect_is_named() {
        let timings = Timings::new(
            Duration::from_secs(1),
            Duration::from_secs(5),
            Duration::ZERO,
        )
        .unwrap();
        let options = Options::new(&timings);
        let mut shown: Vec<String> = options
            .settings
            .iter()
            .map(|(.., shown)| shown.clone())
            .collect();
        assert_eq!(options.differs(&shown), None);
        shown[1] = "0".to_owned();
        assert_eq!(options.differs(&shown), Some("statement_timeout"));
        assert!(options.differs(&[]).is_some());
    }

    #[test]
    fn values_with_spaces_are_escaped_and_the_users_options_come_first() {
        let timings = Timings::new(
            Duration::from_secs(1),
            Duration::from_secs(5),
            Duration::ZERO,
        )
        .unwrap();
        let startup = Options::new(&timings).startup(Some("-c work_mem=1MB"), &timings);
        assert!(startup.starts_with("-c work_mem=1MB -c "));
        assert!(startup.contains(r" -c default_transaction_isolation=read\ committed"));
        assert!(startup.contains(" -c tcp_user_timeout=2000"));
    }
}
