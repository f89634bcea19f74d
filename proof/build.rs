//! Copies of the shipped state machine, each broken in one way: see `mutants.rs`.
//!
//! A mutant is the source that ships with a few words replaced. Its copy takes messages and timings from the
//! shipped one, so that one model speaks to all of them. Words that are not there exactly once fail the build:
//! whoever changes the rule shall look after its mutant.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

#[path = "mutants.rs"]
mod mutants;

use mutants::{MUTANTS, Mutant};

const FILES: [&str; 13] = [
    "candidacy.rs",
    "jitter.rs",
    "watch.rs",
    "process/answers.rs",
    "process/due.rs",
    "process/ending.rs",
    "process/following.rs",
    "process/hosts.rs",
    "process/mod.rs",
    "process/office.rs",
    "process/publishing.rs",
    "process/session.rs",
    "process/tries.rs",
];

const HEAD: &str = "\
use crate::engine::*;
mod candidacy;
mod jitter;
mod process;
mod watch;
pub(crate) use process::Process;
crate::model::machine!(Process);
";

fn main() {
    // As cargo says now, not as it was when this was compiled: built dependencies are copied from tree to tree.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let shipped = manifest.join("../src/engine");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed=mutants.rs");
    println!("cargo::rerun-if-changed={}", shipped.display());
    let mut modules = String::new();
    let mut make = String::new();
    for mutant in MUTANTS {
        let name = mutant.name;
        let root = out.join(name);
        fs::create_dir_all(root.join("process")).expect("OUT_DIR can be written to");
        for file in FILES {
            let source = fs::read_to_string(shipped.join(file));
            let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
            fs::write(root.join(file), broken(mutant, file, &source))
                .expect("OUT_DIR can be written to");
        }
        fs::write(root.join("mod.rs"), HEAD).expect("OUT_DIR can be written to");
        let path = root.join("mod.rs");
        writeln!(
            modules,
            "#[allow(warnings)]\n#[path = {path:?}]\nmod {name};"
        )
        .expect("a string");
        writeln!(
            make,
            "{name:?} => Some(|timings| Box::new({name}::Process::new(timings, 0))),"
        )
        .expect("a string");
    }
    let all = format!(
        "{modules}\nfn maker(name: &str) -> Option<crate::model::Make> {{ match name {{ {make} _ => None }} }}\n"
    );
    fs::write(out.join("mutants.rs"), all).expect("OUT_DIR can be written to");
}

/// A file of the shipped state machine, as the mutant has it.
fn broken(mutant: &Mutant, file: &str, source: &str) -> String {
    let mut source = source.replace(
        "crate::engine::",
        &format!("crate::mutants::{}::", mutant.name),
    );
    if file == "watch.rs" {
        // What goes into messages must be the shipped type.
        let begin = source
            .find("/// The endings of sessions")
            .expect("watch.rs begins with Counters");
        let end = begin
            + source[begin..]
                .find("}\n")
                .expect("watch.rs begins with Counters")
            + 2;
        source.replace_range(begin..end, "");
        source = source.replace("use super::{", "use super::{Counters, ");
    }
    for edit in mutant.edits.iter().filter(|edit| edit.file == file) {
        let found = source.matches(edit.from).count();
        assert_eq!(
            found, 1,
            "mutant {}: {file} has {:?} {found} times",
            mutant.name, edit.from
        );
        source = source.replace(edit.from, edit.to);
    }
    for edit in mutant.edits {
        assert!(
            FILES.contains(&edit.file),
            "mutant {}: {} is not copied",
            mutant.name,
            edit.file
        );
    }
    source
}
