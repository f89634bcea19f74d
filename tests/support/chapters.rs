//! The SQL of the schema, as it lies in the repository.

use std::path::{Path, PathBuf};

/// Every chapter, in order.
pub fn files() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/schema");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths
}

/// The transaction that installs them.
pub fn script() -> String {
    let chapters = files()
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    format!("BEGIN;\n{}COMMIT;\n", chapters.collect::<String>())
}
