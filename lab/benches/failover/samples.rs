//! Every single time, for whoever draws a picture of it: JSON lines, the first of which says where it was measured.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::Result;
use crate::support::figures::milliseconds;

/// From this package.
const FILE: &str = "../target/failover.jsonl";

pub(crate) struct Samples(File);

impl Samples {
    /// Those of an earlier run are gone.
    pub(crate) fn new(description: &str, lease: Duration) -> Result<Samples> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        let mut file = File::create(path)?;
        let head = json!({ "description": description, "lease_ms": milliseconds(lease) });
        writeln!(file, "{head}")?;
        Ok(Samples(file))
    }

    /// How long nobody led after each ending of one kind.
    pub(crate) fn write(&mut self, ending: &str, gaps: &[Duration]) -> Result<()> {
        for gap in gaps {
            let sample = json!({ "ending": ending, "milliseconds": milliseconds(*gap) });
            writeln!(self.0, "{sample}")?;
        }
        Ok(())
    }
}
