//! The command as any tool: how it finds its server, what it refuses, how it documents itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support;
use crate::support::command::{self, Answer, bare};
use pg_leader::testing::Cluster;

const PASSWORD: &str = "it's a: secret\\";

/// Knows the password of `app` only, and has the schema.
fn locked() -> Cluster {
    let cluster = Cluster::start().unwrap();
    let installed = command::run(command::at(&cluster, &["install"]));
    assert_eq!(installed.code, 0, "{installed:?}");
    let quoted = PASSWORD.replace('\'', "''");
    cluster
        .execute(&format!(
            "CREATE ROLE app LOGIN PASSWORD '{quoted}'; SELECT pgleader.grant_observer('app')"
        ))
        .unwrap();
    let rules = "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(cluster.data_dir().join("pg_hba.conf"), rules).unwrap();
    cluster.execute("SELECT pg_reload_conf()").unwrap();
    let port = cluster.port().to_string();
    support::wait_until("a password is asked for", || {
        status(
            &[
                ("PGHOST", "127.0.0.1"),
                ("PGPORT", &port),
                ("PGUSER", "app"),
            ],
            &[],
        )
        .code
            != 0
    });
    cluster
}

fn status(environment: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = bare();
    command
        .arg("status")
        .args(arguments)
        .envs(environment.iter().copied());
    command::run(command)
}

fn private(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn connected(answer: &Answer) {
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.out.contains("no elections here yet"), "{answer:?}");
}

#[test]
fn the_server_and_the_password_are_found_where_every_tool_looks() {
    let cluster = locked();
    let home = tempfile::tempdir().unwrap();
    let (port, home_name) = (cluster.port().to_string(), home.path().to_str().unwrap());
    let place = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGUSER", "app"),
        ("PGDATABASE", "postgres"),
        ("HOME", home_name),
    ];
    let with = |more: &[(&'static str, &str)]| {
        let all: Vec<(&str, &str)> = place.iter().chain(more).copied().collect();
        status(&all, &[])
    };
    let without = with(&[]);
    assert!(
        without.code != 0 && without.err.contains("password"),
        "{without:?}"
    );
    connected(&with(&[("PGPASSWORD", PASSWORD)]));

    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    let line = format!("elsewhere:*:*:*:wrong\n127.0.0.1:{port}:postgres:app:{escaped}\n");
    let file = home.path().join(".pgpass");
    private(&file, &line);
    connected(&with(&[]));
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let ignored = with(&[]);
    assert!(
        ignored.code != 0 && ignored.err.contains("chmod 600"),
        "{ignored:?}"
    );
    let other = home.path().join("passwords");
    private(&other, &line);
    connected(&with(&[("PGPASSFILE", other.to_str().unwrap())]));

    let services = home.path().join(".pg_service.conf");
    let quoted = PASSWORD;
    let service = format!(
        "[mine]\nhost=127.0.0.1\nport={port}\nuser=app\ndbname=postgres\npassword={quoted}\n"
    );
    private(&services, &service);
    connected(&status(&[("HOME", home_name), ("PGSERVICE", "mine")], &[]));
    connected(&status(
        &[("HOME", home_name), ("PGHOST", "nowhere.invalid")],
        &["--database-url", "service=mine"],
    ));
    let named = services.to_str().unwrap();
    connected(&status(
        &[("PGSERVICEFILE", named), ("PGSERVICE", "mine")],
        &[],
    ));
    let unknown = status(&[("HOME", home_name), ("PGSERVICE", "other")], &[]);
    assert!(
        unknown.code == 2 && unknown.err.contains("no service \"other\""),
        "{unknown:?}"
    );
}

#[test]
fn a_password_is_taken_from_the_environment_and_refused_as_an_argument() {
    let cluster = locked();
    let port = cluster.port();
    let url = format!("postgres://app:it%27s%20a%3A%20secret%5C@127.0.0.1:{port}/postgres");
    connected(&status(&[("DATABASE_URL", &url)], &[]));
    let pairs = format!("host=127.0.0.1 port={port} user=app password=x");
    for arguments in [
        vec!["--database-url".to_owned(), url.clone()],
        vec![format!("--database-url={url}")],
        vec!["--database-url".to_owned(), pairs],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let refused = status(&[], &arguments);
        assert!(
            refused.code == 2 && refused.err.contains(".pgpass"),
            "{refused:?}"
        );
        assert!(!refused.err.contains("secret"), "{refused:?}");
    }
    let named = status(
        &[("PGPASSWORD", PASSWORD)],
        &[
            "--database-url",
            &format!("postgres://app@127.0.0.1:{port}/postgres"),
        ],
    );
    connected(&named);
}

#[test]
fn the_own_variable_comes_before_the_one_that_is_shared_and_an_argument_before_both() {
    let cluster = Cluster::start().unwrap();
    let url = cluster.url();
    let installed = command::run(command::at(&cluster, &["install"]));
    assert_eq!(installed.code, 0, "{installed:?}");
    let (ours, shared) = ("PG_LEADER_DATABASE_URL", "DATABASE_URL");
    let nowhere = "postgres://u@127.0.0.1:1/d";
    connected(&status(&[(ours, &url), (shared, nowhere)], &[]));
    connected(&status(&[(ours, ""), (shared, &url)], &[]));
    let first = status(&[(ours, nowhere), (shared, &url)], &[]);
    assert_eq!(first.code, 3, "{first:?}");
    let argument = ["--database-url", url.as_str()];
    connected(&status(&[(ours, nowhere), (shared, nowhere)], &argument));
    // What an empty variable leaves out comes from where an empty argument's does.
    let port = cluster.port().to_string();
    let family = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGUSER", "postgres"),
        (shared, ""),
    ];
    connected(&status(&family, &[]));
    let family = [&family[..3], &[(shared, nowhere)]].concat();
    connected(&status(&family, &["--database-url", ""]));
}

#[test]
fn a_variable_that_is_no_text_is_refused_by_its_name() {
    use std::os::unix::ffi::OsStrExt;
    for name in ["PG_LEADER_DATABASE_URL", "DATABASE_URL"] {
        let mut command = bare();
        let odd = std::ffi::OsStr::from_bytes(b"postgres://u@h/\xff");
        command.arg("status").env(name, odd);
        let refused = command::run(command);
        assert!(
            refused.code == 2 && refused.err.contains(&format!("{name} is no text")),
            "{refused:?}"
        );
    }
}

#[test]
fn each_failure_to_connect_has_its_exit_code_and_says_what_to_do() {
    let nowhere = status(&[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")], &[]);
    assert!(
        nowhere.code == 3 && nowhere.err.contains("127.0.0.1:1"),
        "{nowhere:?}"
    );
    let nonsense = status(&[("DATABASE_URL", "mysql://u@h/d")], &[]);
    assert!(
        nonsense.code == 2 && nonsense.err.contains("postgres://"),
        "{nonsense:?}"
    );
    let cluster = Cluster::start().unwrap();
    let bare = command::run(command::at(&cluster, &["status"]));
    assert!(
        bare.code == 4 && bare.err.contains("pg-leader install"),
        "{bare:?}"
    );
}

#[test]
fn install_prints_what_it_runs_and_changes_nothing_the_second_time() {
    let cluster = Cluster::start().unwrap();
    let mut printing = bare();
    printing.args(["install", "--print"]);
    let script = command::run(printing);
    assert_eq!(script.code, 0, "{script:?}");
    cluster.execute(&script.out).unwrap();
    let again = command::run(command::at(&cluster, &["install"]));
    assert!(
        again.code == 0 && again.out.contains("there already"),
        "{again:?}"
    );

    let other = Cluster::start().unwrap();
    let first = command::run(command::at(&other, &["install"]));
    assert!(
        first.code == 0 && first.out.contains("grant_candidate"),
        "{first:?}"
    );
    let functions = "SELECT string_agg(pg_get_functiondef(oid), ',' ORDER BY proname) FROM pg_proc \
                     WHERE pronamespace = 'pgleader'::regnamespace";
    assert_eq!(
        cluster.query(functions).unwrap(),
        other.query(functions).unwrap()
    );

    let written = "SELECT max(xmin::text::bigint) FROM pg_proc";
    let before = other.query(written).unwrap();
    command::run(command::at(&other, &["install"]));
    assert_eq!(
        other.query(written).unwrap(),
        before,
        "functions were made anew"
    );

    other.execute("CREATE ROLE poor LOGIN").unwrap();
    other
        .execute("SELECT pgleader.grant_candidate('poor')")
        .unwrap();
    let poor = || {
        let mut poor = bare();
        poor.env("DATABASE_URL", support::url_of(&other, "poor"))
            .arg("install");
        command::run(poor)
    };
    let current = poor();
    assert!(
        current.code == 0 && current.out.contains("there already"),
        "{current:?}"
    );
    let older =
        "CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer LANGUAGE sql AS 'SELECT 0'";
    other.execute(older).unwrap();
    let older = poor();
    assert!(
        older.code == 4
            && older.err.contains("has version 0")
            && older.err.contains("as the schema's owner"),
        "{older:?}"
    );

    other.execute("DROP SCHEMA pgleader CASCADE").unwrap();
    let refused = poor();
    assert!(
        refused.code == 4 && refused.err.contains("may create it"),
        "{refused:?}"
    );
}

const SUBCOMMANDS: [&str; 13] = [
    "run",
    "status",
    "watch",
    "history",
    "step-down",
    "transfer",
    "suspend",
    "resume",
    "exclude",
    "include",
    "depose",
    "rebalance",
    "doctor",
];

fn said(arguments: &[&str]) -> String {
    let mut command = bare();
    command.args(arguments);
    let answer = command::run(command);
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
    answer.out
}

#[test]
fn help_manual_pages_and_completions_know_every_subcommand() {
    let (help, bash, zsh) = (
        said(&["--help"]),
        said(&["completions", "bash"]),
        said(&["completions", "zsh"]),
    );
    let pages = tempfile::tempdir().unwrap();
    said(&["man", "--directory", pages.path().to_str().unwrap()]);
    for subcommand in SUBCOMMANDS {
        for (what, text) in [("help", &help), ("bash", &bash), ("zsh", &zsh)] {
            assert!(text.contains(subcommand), "{what} lacks {subcommand}");
        }
        let own = said(&[subcommand, "--help"]);
        assert!(
            own.contains("Example"),
            "{subcommand} --help has no example"
        );
        for variable in ["PG_LEADER_DATABASE_URL", "of DATABASE_URL"] {
            assert!(own.contains(variable), "{subcommand} --help: {variable}");
        }
        let page = pages.path().join(format!("pg-leader-{subcommand}.1"));
        let page = fs::read_to_string(page).unwrap();
        assert!(
            page.starts_with(".ie") && page.contains(".TH"),
            "{subcommand}: {page}"
        );
    }
    let manual = said(&["man"]);
    for text in [&help, &manual] {
        assert!(
            text.contains("there is no such election"),
            "no exit status in {text}"
        );
    }
}

/// With the reason for each setting that has no option.
const NO_OPTIONS: [(&str, &str); 4] = [
    ("environment", "it is always read"),
    (
        "credentials",
        "a hook is code; PGPASSFILE is read with every connect",
    ),
    ("overrun", "the guard ends the command in time"),
    ("graceful", "the command is always asked to end first"),
];

#[test]
fn every_setting_of_the_library_is_an_option_of_run() {
    let mut settings = vec![];
    for (source, of) in [
        (include_str!("../../../src/config.rs"), "impl Config {"),
        (include_str!("../../../src/campaign.rs"), "impl Campaign {"),
    ] {
        let (_, block) = source.split_once(of).unwrap();
        let (block, _) = block.split_once("\n}\n").unwrap();
        let setters = block.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("    pub fn ")?.split_once(['(', '<'])?;
            let is_setter = rest.starts_with("mut self") || rest.starts_with("H, F>(mut self");
            is_setter.then(|| name.to_owned())
        });
        settings.extend(setters);
    }
    assert!(settings.len() >= 12, "{settings:?}");
    let mut help = bare();
    help.args(["run", "--help"]);
    let help = command::run(help).out;
    for setting in settings {
        let option = format!("--{} ", setting.replace('_', "-"));
        let has = help
            .lines()
            .any(|line| format!("{line} ").contains(&option));
        let excused = NO_OPTIONS.iter().any(|(name, _)| *name == setting);
        assert_ne!(has, excused, "{option}");
    }
}
