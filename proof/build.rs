//! Copies of the shipped engine, each broken in one way: see `mutants.rs`.
//!
//! A mutant is the source that ships with a few words replaced. Its copy takes what goes in and out, and the timings,
//! from the shipped one, so that one model speaks to all of them. Words that are not there exactly once fail the build:
//! whoever changes the rule shall look after its mutant.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "mutants.rs"]
mod mutants;

use mutants::{MUTANTS, Mutant};

/// What all have in common, beside the tests.
const SHARED: [&str; 14] = [
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
    println!("cargo::rerun-if-env-changed=PG_LEADER_PROOF_MUTANTS");
    println!("cargo::rerun-if-changed={}", shipped.display());
    let files = files(&shipped);
    // Who changes the engine for a moment need not change what is broken of it, too.
    if env::var_os("CARGO_FEATURE_MUTANTS").is_none() {
        return;
    }
    let mut modules = String::new();
    let mut make = String::new();
    for mutant in MUTANTS.iter().filter(|mutant| is_wanted(mutant.name)) {
        let name = mutant.name;
        let root = out.join(name);
        let _ = fs::remove_dir_all(&root);
        for file in &files {
            let source = fs::read_to_string(shipped.join(file));
            let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
            write(&root.join(file), &broken(mutant, file, &source));
        }
        for edit in mutant.edits {
            let copied = files.iter().any(|file| file == edit.file);
            assert!(copied, "mutant {name}: {} is not copied", edit.file);
        }
        let path = root.join("mod.rs");
        write(&path, &head(&files));
        writeln!(
            modules,
            "#[allow(warnings)]\n#[path = {path:?}]\nmod {name};"
        )
        .expect("a string");
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

/// Each copy takes its time to compile: whoever needs a few names them, with commas between.
fn is_wanted(name: &str) -> bool {
    let wanted = env::var("PG_LEADER_PROOF_MUTANTS");
    wanted.map_or(true, |wanted| wanted.split(',').any(|one| one == name))
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
fn head(files: &[String]) -> String {
    let modules = files.iter().filter(|file| !file.contains('/'));
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

/// A file of the shipped engine, as the mutant has it.
fn broken(mutant: &Mutant, file: &str, source: &str) -> String {
    let mut source = source.replace(
        "crate::engine::",
        &format!("crate::mutants::{}::", mutant.name),
    );
    for edit in mutant.edits.iter().filter(|edit| edit.file == file) {
        let found = source.matches(edit.from).count();
        assert_eq!(
            found, 1,
            "mutant {}: {file} has {:?} {found} times",
            mutant.name, edit.from
        );
        source = source.replace(edit.from, edit.to);
    }
    source
}
