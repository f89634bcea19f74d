//! Copies of the shipped engine, broken on purpose: see `mutants.rs`.
//!
//! A mutant is the source that ships with a few words replaced. Where they are inside the bodies of functions, it shares
//! one copy with the others of that kind: each body is there once as it ships and once for every mutant that has broken
//! it, and `crate::mutants::is` tells which of them runs. A mutant that breaks more, such as a struct, has a copy of its
//! own. A copy takes what goes in and out, and the timings, from the shipped engine, so that one model speaks to all of
//! them. Words that are not there exactly once fail the build: whoever changes the rule shall look after its mutant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "mutants.rs"]
mod mutants;

use mutants::{Edit, MUTANTS, Mutant};

/// What all have in common, beside the tests.
const SHARED: [&str; 15] = [
    "answer.rs",
    "bar.rs",
    "display.rs",
    "ids.rs",
    "input.rs",
    "leash.rs",
    "message.rs",
    "mod.rs",
    "notice.rs",
    "output.rs",
    "request.rs",
    "sight.rs",
    "state.rs",
    "time.rs",
    "timings.rs",
];

fn main() {
    // As cargo says now, not as it was when this was compiled: built dependencies are copied from tree to tree.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let shipped = manifest.join("../src/engine");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed=mutants.rs");
    println!("cargo::rerun-if-changed={}", shipped.display());
    let files = files(&shipped);
    // Who changes the engine for a moment need not change what is broken of it, too.
    if env::var_os("CARGO_FEATURE_MUTANTS").is_none() {
        return;
    }
    let sources: Vec<Source> = files.iter().map(|file| source(&shipped, file)).collect();
    let (sharing, alone): (Vec<_>, Vec<_>) = MUTANTS
        .iter()
        .partition(|mutant| is_inside_bodies(mutant, &sources));
    let mut modules = copy(&out, SWITCHED, &sources, |source| {
        switched(&sharing, source)
    });
    let mut make = String::new();
    for mutant in sharing {
        let name = mutant.name;
        writeln!(
            make,
            "{name:?} => Some(|setup, seed| switched({name:?}, setup, seed)),"
        )
        .expect("a string");
    }
    for mutant in alone {
        let name = mutant.name;
        modules += &copy(&out, name, &sources, |source| broken(mutant, source));
        writeln!(
            make,
            "{name:?} => Some(|setup, seed| Box::new({name}::Engine::new(setup, seed))),"
        )
        .expect("a string");
    }
    let all = format!(
        "{modules}\nfn maker(name: &str) -> Option<crate::machine::Make> {{ match name {{ {make} _ => None }} }}\n"
    );
    write(&out.join("mutants.rs"), &all);
}

/// The copy that mutants share.
const SWITCHED: &str = "switchable";

/// A file of the shipped engine.
struct Source {
    file: String,
    text: String,
}

fn source(shipped: &Path, file: &str) -> Source {
    let text = fs::read_to_string(shipped.join(file));
    Source {
        file: file.to_owned(),
        text: text.unwrap_or_else(|error| panic!("{file}: {error}")),
    }
}

/// Writes a copy, and says how it is taken in as a module.
fn copy(out: &Path, name: &str, sources: &[Source], change: impl Fn(&Source) -> String) -> String {
    let root = out.join(name);
    let _ = fs::remove_dir_all(&root);
    for source in sources {
        let changed = change(source);
        let moved = changed.replace("crate::engine::", &format!("crate::mutants::{name}::"));
        write(&root.join(&source.file), &moved);
    }
    let path = root.join("mod.rs");
    write(&path, &head(sources));
    format!("#[allow(warnings)]\n#[path = {path:?}]\nmod {name};\n")
}

/// Those of the engine that a mutant has a copy of.
fn files(shipped: &Path) -> Vec<String> {
    let mut files = vec![];
    for folder in ["", "process"] {
        let entries = fs::read_dir(shipped.join(folder)).expect("the engine is there");
        for entry in entries {
            let name = entry.expect("it can be read").file_name();
            let name = name.to_string_lossy();
            let file = Path::new(folder).join(&*name);
            let file = file.to_string_lossy().into_owned();
            if name.ends_with(".rs") && !SHARED.contains(&&*file) {
                files.push(file);
            }
        }
    }
    files.sort();
    files
}

/// The root of a copy.
fn head(sources: &[Source]) -> String {
    let files = sources.iter().map(|source| &source.file);
    let modules = files.filter(|file| !file.contains('/'));
    let modules = modules.map(|file| format!("mod {};\n", file.trim_end_matches(".rs")));
    let modules: String = modules.collect();
    format!(
        "use crate::engine::*;\n{modules}mod process;\npub(crate) use handle::Engine;\n\
         pub(crate) use jitter::Jitter;\npub(crate) use process::Process;\n\
         crate::machine::machine!(Engine);\n"
    )
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().expect("it is in a folder");
    fs::create_dir_all(folder).expect("OUT_DIR can be written to");
    fs::write(path, text).expect("OUT_DIR can be written to");
}

/// Where in the source the words are that an edit replaces.
fn place(mutant: &Mutant, edit: &Edit, source: &Source) -> Range<usize> {
    let found: Vec<usize> = source
        .text
        .match_indices(edit.from)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(
        found.len(),
        1,
        "mutant {}: {} has {:?} {} times",
        mutant.name,
        edit.file,
        edit.from,
        found.len()
    );
    found[0]..found[0] + edit.from.len()
}

fn edits<'m>(mutant: &'m Mutant, source: &Source) -> impl Iterator<Item = &'m Edit> {
    mutant.edits.iter().filter(|edit| edit.file == source.file)
}

/// A file of the shipped engine, as the mutant has it.
fn broken(mutant: &Mutant, source: &Source) -> String {
    let edits = edits(mutant, source).map(|edit| (place(mutant, edit, source), edit.to));
    replaced(&source.text, 0..source.text.len(), edits)
}

/// Where words are, and what stands there instead.
type Piece = (Range<usize>, &'static str);

/// These words of the text, with others in the place of some of them.
fn replaced<W: AsRef<str>>(
    text: &str,
    words: Range<usize>,
    pieces: impl Iterator<Item = (Range<usize>, W)>,
) -> String {
    let mut pieces: Vec<_> = pieces.collect();
    pieces.sort_by_key(|(range, _)| range.start);
    let (mut all, mut next) = (String::new(), words.start);
    for (range, instead) in pieces {
        assert!(next <= range.start, "two pieces overlap: {}", &text[range]);
        all += &text[next..range.start];
        all += instead.as_ref();
        next = range.end;
    }
    all + &text[next..words.end]
}

fn is_inside_bodies(mutant: &Mutant, sources: &[Source]) -> bool {
    mutant.edits.iter().all(|edit| {
        let source = sources.iter().find(|source| source.file == edit.file);
        let source =
            source.unwrap_or_else(|| panic!("mutant {}: {} is not copied", mutant.name, edit.file));
        body_around(&source.text, &place(mutant, edit, source)).is_some()
    })
}

/// Where the body of the function is that has these words in it, without its braces. The formatter sees to it that `fn`
/// and the closing brace stand at one depth, and that the opening one ends the first line of the signature that it can.
fn body_around(text: &str, words: &Range<usize>) -> Option<Range<usize>> {
    let lines = || {
        text.split_inclusive('\n').scan(0, |next, line| {
            let start = *next;
            *next += line.len();
            Some((start, line.trim_end_matches('\n')))
        })
    };
    let (start, first) = lines()
        .take_while(|(start, _)| *start < words.start)
        .filter(|(_, line)| begins_function(line))
        .last()?;
    let (opening, line) = lines().find(|(at, line)| *at >= start && line.ends_with('{'))?;
    let depth = first.len() - first.trim_start().len();
    let closing = format!("{}}}", &first[..depth]);
    let (end, _) = lines().find(|(at, line)| *at > opening && *line == closing)?;
    let body = opening + line.len()..end;
    (body.start <= words.start && words.end <= body.end).then_some(body)
}

fn begins_function(line: &str) -> bool {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub(") {
        Some(scope) => scope.split_once(") ").map_or(line, |(_, rest)| rest),
        None => line.strip_prefix("pub ").unwrap_or(line),
    };
    line.starts_with("fn ")
}

/// A file of the shipped engine with each body that one of these mutants has broken beside what is shipped.
fn switched(mutants: &[&Mutant], source: &Source) -> String {
    let text = &source.text;
    // By where they begin and end.
    let mut bodies: BTreeMap<(usize, usize), String> = BTreeMap::new();
    for mutant in mutants {
        let mut own: BTreeMap<(usize, usize), Vec<Piece>> = BTreeMap::new();
        for edit in edits(mutant, source) {
            let words = place(mutant, edit, source);
            let body = body_around(text, &words).expect("it is in one");
            let pieces = own.entry((body.start, body.end)).or_default();
            pieces.push((words, edit.to));
        }
        for ((start, end), pieces) in own {
            let body = replaced(text, start..end, pieces.into_iter());
            let arms = bodies.entry((start, end)).or_default();
            write!(
                arms,
                " if crate::mutants::is({:?}) {{{body}}} else",
                mutant.name
            )
            .expect("a string");
        }
    }
    let bodies = bodies.into_iter().map(|((start, end), arms)| {
        let shipped = &text[start..end];
        (start..end, format!("{arms} {{{shipped}}}"))
    });
    replaced(text, 0..text.len(), bodies)
}
