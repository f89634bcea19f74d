//! What the benchmarks share: a server, a command line, figures.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod arguments;
pub(crate) mod figures;
pub(crate) mod stage;

/// A benchmark reports why it could not measure, and ends.
pub(crate) use pg_leader_lab::Result;

/// Run `bench` on this thread: a candidate dies with the thread that started it, so it must be the first.
/// The exit status is 1 where `bench` failed or was interrupted; the cluster is removed either way.
pub(crate) fn run(
    bench: impl AsyncFnOnce(&arguments::Arguments) -> Result<bool>,
) -> std::process::ExitCode {
    use std::process::ExitCode;
    if let Some(ended) = pg_leader_lab::candidate::main() {
        return ended;
    }
    let arguments = match arguments::Arguments::parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let result = runtime.block_on(async {
        tokio::select! {
            result = bench(&arguments) => result,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
