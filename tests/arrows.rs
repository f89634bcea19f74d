//! The house itself, read from its sources: which file imports which, what types and functions are called and how
//! long they are. ARCHITECTURE.md draws what is tested here.

#[path = "arrows/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sources::{Sources, circles, functions, last, paths, rust_files, type_name};

/// Groups of files of `src`, by the beginnings of their paths. The longest that fits counts.
const GROUPS: [(&str, &[&str]); 18] = [
    ("time", &["engine/time"]),
    ("engine", &["engine"]),
    ("platform", &["platform"]),
    ("shown", &["shown"]),
    ("error", &["error"]),
    ("words", &["words"]),
    ("foreign", &["foreign"]),
    (
        "conninfo",
        &[
            "connection/conninfo",
            "connection/parse",
            "connection/environment",
        ],
    ),
    ("config", &["config", "campaign"]),
    ("connection", &["connection"]),
    ("statements", &["statements"]),
    ("surveyor", &["surveyor"]),
    ("work", &["work", "term", "standing", "process_state"]),
    ("session", &["session"]),
    ("driver", &["driver"]),
    (
        "nouns",
        &["elector", "candidacy", "observer", "fence", "roster"],
    ),
    ("operator", &["operator"]),
    ("doctor", &["doctor"]),
];

/// What others are made of, and need know nothing of: how types are bound in SQL and written by serde.
const BINDINGS: [&str; 2] = ["sql_types", "serde_types"];

/// Who may import whom, beside files of its own group. Whatever is not here is forbidden.
const ARROWS: [(&str, &[&str]); 18] = [
    ("time", &[]),
    ("engine", &["time"]),
    ("platform", &["time"]),
    ("shown", &[]),
    ("error", &["shown"]),
    ("words", &["engine"]),
    ("foreign", &["engine", "shown"]),
    ("conninfo", &["error", "platform"]),
    ("config", &["conninfo", "engine", "error", "foreign"]),
    (
        "connection",
        &[
            "config", "conninfo", "engine", "error", "foreign", "platform", "shown",
        ],
    ),
    ("statements", &["engine"]),
    (
        "surveyor",
        &["config", "connection", "engine", "error", "foreign"],
    ),
    (
        "work",
        &[
            "config",
            "connection",
            "engine",
            "foreign",
            "platform",
            "time",
            "shown",
        ],
    ),
    (
        "session",
        &[
            "config",
            "connection",
            "engine",
            "error",
            "foreign",
            "statements",
            "work",
        ],
    ),
    (
        "driver",
        &[
            "config",
            "connection",
            "session",
            "engine",
            "error",
            "foreign",
            "surveyor",
            "platform",
            "time",
            "work",
        ],
    ),
    (
        "nouns",
        &[
            "config",
            "connection",
            "driver",
            "session",
            "engine",
            "error",
            "foreign",
            "work",
            "conninfo",
        ],
    ),
    (
        "operator",
        &["config", "connection", "engine", "error", "words"],
    ),
    (
        "doctor",
        &[
            "config",
            "connection",
            "conninfo",
            "engine",
            "error",
            "platform",
            "shown",
        ],
    ),
];

/// Files that may import one another in a circle: the nouns.
const CIRCLE: [&str; 3] = ["candidacy", "elector", "observer"];

/// Where paths in the engine may begin.
const STANDARD: [&str; 10] = [
    "std", "core", "crate", "super", "self", "u8", "u32", "u64", "u128", "i64",
];

const LONGEST_FUNCTION: usize = 70;

#[test]
fn arrows_run_down() {
    let sources = Sources::read("src");
    let mut forbidden = String::new();
    for (file, imports) in &sources.imports() {
        if BINDINGS.contains(&file.as_str()) {
            continue;
        }
        let (from, may) = rule(file);
        for imported in imports {
            let (to, _) = rule(imported);
            if from != to && !may.contains(&to) {
                let _ = writeln!(forbidden, "{file} ({from}) imports {imported} ({to})");
            }
        }
    }
    assert_eq!(
        forbidden, "",
        "these arrows are not drawn in ARCHITECTURE.md"
    );
}

#[test]
fn the_engine_knows_nothing_but_the_standard_library() {
    let mut outside = String::new();
    let sources = Sources::read("src");
    for (file, source) in sources
        .files
        .iter()
        .filter(|(file, _)| file.starts_with("engine/"))
    {
        let imported: BTreeSet<&str> = source.foreign.iter().map(|path| last(path)).collect();
        let named = paths(&source.code).chain(source.foreign.iter().map(String::as_str));
        for path in named {
            let root = path.split("::").next().unwrap_or_default();
            let is_known = source.inner.contains(root) || imported.contains(root);
            if !is_known && !STANDARD.contains(&root) {
                let _ = writeln!(outside, "{file} uses {path}");
            }
        }
    }
    assert_eq!(outside, "");
}

#[test]
fn files_do_not_import_one_another_in_circles() {
    for root in ["src", "cli/src"] {
        let imports = Sources::read(root).imports();
        let circles: Vec<_> = circles(&imports)
            .into_iter()
            .filter(|circle| !circle.iter().all(|file| CIRCLE.contains(&file.as_str())))
            .collect();
        assert!(circles.is_empty(), "circles in {root}: {circles:#?}");
    }
}

#[test]
fn files_of_the_simulator_do_not_either() {
    let imports = Sources::read("proof/src").imports();
    let circles: Vec<_> = circles(&imports)
        .into_iter()
        .filter(|circle| circle.iter().any(|file| file.starts_with("sim")))
        .collect();
    assert!(circles.is_empty(), "circles in the simulator: {circles:#?}");
}

#[test]
fn each_type_name_is_there_once() {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let sources = Sources::read("src");
    for (file, source) in &sources.files {
        for name in source.code.lines().filter_map(type_name) {
            places.entry(name).or_default().push(file);
        }
    }
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "types of one name: {places:#?}");
}

#[test]
fn no_function_is_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = String::new();
    for folder in ["src", "cli", "tests", "examples", "lab", "proof"] {
        for file in rust_files(&root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let file = file.strip_prefix(root).unwrap().to_str().unwrap();
            let is_long = |(_, lines): &(&str, usize)| *lines > LONGEST_FUNCTION;
            for (name, lines) in functions(&text).filter(is_long) {
                let _ = writeln!(long, "{file}: {name} has {lines} lines");
            }
        }
    }
    assert_eq!(long, "", "longer than {LONGEST_FUNCTION} lines");
}

fn rule(file: &str) -> (&'static str, &'static [&'static str]) {
    let groups = GROUPS.into_iter().flat_map(|(group, files)| {
        let fitting = files.iter().filter(|beginning| {
            file.strip_prefix(**beginning)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        fitting.map(move |beginning| (beginning.len(), group))
    });
    let Some((_, group)) = groups.max() else {
        panic!("{file} is in no group: name it in GROUPS and in ARCHITECTURE.md");
    };
    ARROWS
        .into_iter()
        .find(|(from, _)| *from == group)
        .expect("every group has its arrows")
}
