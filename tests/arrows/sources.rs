//! What the sources of a crate say of themselves: modules, imports, functions, circles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a crate by their module paths, `connection/hosts`, without tests and without `testing`.
pub(crate) struct Sources {
    pub(crate) files: BTreeMap<String, Source>,
}

pub(crate) struct Source {
    /// Without comments and without the tests within.
    pub(crate) code: String,
    /// Modules declared here.
    pub(crate) inner: BTreeSet<String>,
    /// What is handed on from elsewhere, by its name here.
    handed_on: BTreeMap<String, String>,
    /// What is imported, from the root of the crate.
    imports: BTreeSet<String>,
    /// What is imported from other crates.
    pub(crate) foreign: BTreeSet<String>,
}

impl Sources {
    pub(crate) fn read(root: &str) -> Sources {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        let mut files = BTreeMap::new();
        for path in rust_files(&root) {
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            let name = name.to_str().unwrap();
            let module = match name.rsplit_once('/') {
                Some((folder, "mod")) => folder,
                None if name == "lib" || name == "main" => "",
                _ => name,
            };
            let code = without_tests(&fs::read_to_string(&path).unwrap());
            files.insert(module.to_owned(), code);
        }
        let for_tests = files
            .iter()
            .flat_map(|(module, (_, tests))| tests.iter().map(|name| join(module, name)));
        let tests: Vec<String> = for_tests.chain(["testing".to_owned()]).collect();
        files.retain(|module, _| {
            let of_tests =
                |test: &String| module == test || module.starts_with(&format!("{test}/"));
            !tests.iter().any(of_tests) && !module.ends_with("/tests")
        });
        let files = files
            .into_iter()
            .map(|(module, (code, _))| {
                let source = Source::new(&module, code);
                (module, source)
            })
            .collect();
        Sources { files }
    }

    /// Which file imports which.
    pub(crate) fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let of = |(file, source): (&String, &Source)| {
            let files = source.imports.iter().filter_map(|path| self.home(path, 0));
            (
                file.clone(),
                files.filter(|imported| imported != file).collect(),
            )
        };
        // The root declares, and hands on.
        let files = self.files.iter().filter(|(file, _)| !file.is_empty());
        files.map(of).collect()
    }

    /// The file that defines what this path leads to. The root of the crate only hands on.
    fn home(&self, path: &str, depth: usize) -> Option<String> {
        assert!(depth < 20, "{path} is handed on in a circle");
        let mut module = path;
        let mut rest = "";
        loop {
            if let Some(source) = self.files.get(module) {
                let name = rest.split('/').next().unwrap_or_default();
                return match source.handed_on.get(name) {
                    Some(from) => self.home(from, depth + 1),
                    None if module.is_empty() => None,
                    None => Some(module.to_owned()),
                };
            }
            module = module.rsplit_once('/').map_or("", |(outer, _)| outer);
            rest = path[module.len()..].trim_start_matches('/');
        }
    }
}

impl Source {
    fn new(module: &str, code: String) -> Source {
        let inner = code
            .lines()
            .filter_map(|line| declared(line.trim()))
            .map(ToOwned::to_owned)
            .collect();
        let mut source = Source {
            inner,
            handed_on: BTreeMap::new(),
            imports: BTreeSet::new(),
            foreign: BTreeSet::new(),
            code,
        };
        let mut handed_on = BTreeMap::new();
        let mut imports = BTreeSet::new();
        let mut foreign = BTreeSet::new();
        let (uses, code) = uses(&source.code);
        for (public, tree) in uses {
            for path in branches(&tree) {
                let (path, name) = match path.split_once(" as ") {
                    Some((path, name)) => (path.to_owned(), name.to_owned()),
                    None => {
                        let path = path.trim_end_matches("::self").to_owned();
                        let name = last(&path).to_owned();
                        (path, name)
                    }
                };
                match source.absolute(module, &path) {
                    Some(path) if public => drop(handed_on.insert(name, path)),
                    Some(path) => drop(imports.insert(path)),
                    None => drop(foreign.insert(path)),
                }
            }
        }
        imports.extend(paths(&code).filter_map(|path| source.absolute(module, path)));
        // What is handed on may be used here too.
        let used = handed_on.iter().filter(|(name, _)| has_word(&code, name));
        imports.extend(used.map(|(_, path)| path.clone()));
        source.handed_on = handed_on;
        source.imports = imports;
        source.foreign = foreign;
        source
    }

    /// From the root of the crate; nothing where it leads out of it.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        let mut segments = path.split("::").map(str::trim).peekable();
        let mut base = module;
        match *segments.peek()? {
            "crate" => {
                segments.next();
                base = "";
            }
            "self" => drop(segments.next()),
            "super" => {
                while segments.next_if_eq(&"super").is_some() {
                    base = base.rsplit_once('/').map_or("", |(outer, _)| outer);
                }
            }
            inner if self.inner.contains(inner) => {}
            _ => return None,
        }
        Some(segments.fold(base.to_owned(), |path, segment| join(&path, segment)))
    }
}

pub(crate) fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or_default()
}

pub(crate) fn join(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}/{name}")
    }
}

pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The code without comments and without what is for tests alone; the modules that are.
pub(crate) fn without_tests(text: &str) -> (String, Vec<String>) {
    let mut code = String::new();
    let mut tests = vec![];
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_for_tests = line.trim_start().starts_with("#[cfg(") && line.contains("test");
        if !is_for_tests || line.contains("not(test") {
            let line = if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            };
            code.push_str(line);
            code.push('\n');
            continue;
        }
        // The item below, to its end.
        let indent = line.len() - line.trim_start().len();
        let Some(item) = lines.next() else { break };
        tests.extend(declared(item.trim()).map(ToOwned::to_owned));
        if !item.ends_with([';', ',']) {
            let ends = |line: &str| line.len() > indent && line[indent..].starts_with(['}', ')']);
            let _ = lines.by_ref().find(|line| ends(line));
        }
    }
    (code, tests)
}

/// The name of a module that this line declares.
pub(crate) fn declared(line: &str) -> Option<&str> {
    let (before, name) = line.split_once("mod ")?;
    let is_public = before.is_empty() || before.trim_end().ends_with(')') || before == "pub ";
    name.trim_end_matches(" {")
        .strip_suffix(';')
        .filter(|_| is_public)
}

/// Every `use`, and whether it hands on; and the code without them.
pub(crate) fn uses(code: &str) -> (Vec<(bool, String)>, String) {
    let (mut uses, mut rest) = (vec![], String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let tree = match start.split_once("use ") {
            Some((before, tree)) if before.is_empty() || before.starts_with("pub") => tree,
            _ => {
                rest.push_str(line);
                rest.push('\n');
                continue;
            }
        };
        let mut tree = tree.to_owned();
        while !tree.ends_with(';') {
            let Some(line) = lines.next() else { break };
            tree.push_str(line.trim());
            tree.push(' ');
            tree.truncate(tree.trim_end().len());
        }
        let tree = tree.trim_end_matches(';').to_owned();
        uses.push((start.starts_with("pub"), tree));
    }
    (uses, rest)
}

pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|other| other == word)
}

/// The paths of a tree of `use`.
pub(crate) fn branches(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inside = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let mut depth = 0;
    let branch = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    let inner = inside
        .split(branch)
        .map(str::trim)
        .filter(|part| !part.is_empty());
    inner
        .flat_map(branches)
        .map(|branch| format!("{}{branch}", stem.trim()))
        .collect()
}

/// Paths in code, of two segments or more: `crate::clock::now`, `fitness::server`.
pub(crate) fn paths(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(move |c| !is_part(c))
        .map(|path| path.trim_end_matches(':'))
        .filter(|path| path.contains("::") && path.starts_with(|c: char| c.is_ascii_lowercase()))
}

pub(crate) fn type_name(line: &str) -> Option<&str> {
    let line = line.trim_end();
    let is_outside = !line.starts_with(' ');
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    let is_type = match words.next()? {
        "struct" | "enum" | "trait" => true,
        // Within a block it is an associated one.
        "type" => is_outside,
        _ => false,
    };
    let name = words.next()?.split(|c: char| !c.is_alphanumeric()).next()?;
    is_type.then_some(name)
}

/// Each function with its lines, from its signature to the brace that ends it.
pub(crate) fn functions(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len()).filter_map(move |first| {
        let line = lines[first];
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async"];
        let name = words
            .by_ref()
            .find(|word| !modifiers.contains(word))
            .filter(|word| *word == "fn")
            .and_then(|_| words.next())?;
        let name = name
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()?;
        let closes = |line: &&str| {
            line.len() > indent
                && line[indent..].starts_with('}')
                && line.trim_start().len() + indent == line.len()
        };
        let ends_here = line.ends_with('}') || line.ends_with(';');
        let more = lines[first + 1..].iter().position(closes);
        let more = more.filter(|_| !ends_here).map_or(0, |last| last + 1);
        Some((name, more + 1))
    })
}

/// The circles of a graph: sets of files that all lead to one another.
pub(crate) fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|file| (file, reach(graph, file)))
        .collect();
    let mut circles: Vec<Vec<String>> = vec![];
    for (file, from) in reached.iter().filter(|(file, from)| from.contains(*file)) {
        let both = |other: &&&String| reached.get(**other).is_some_and(|back| back.contains(file));
        let circle: Vec<String> = from
            .iter()
            .filter(both)
            .map(|file| (*file).clone())
            .collect();
        if !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

pub(crate) fn reach<'a>(
    graph: &'a BTreeMap<String, BTreeSet<String>>,
    from: &String,
) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = graph.get(from).into_iter().flatten().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(graph.get(file).into_iter().flatten());
        }
    }
    found
}
