//! What the benchmarks share: candidates in processes of their own, what they report, and figures.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod arguments;
pub(crate) mod candidate;
pub(crate) mod clock;
pub(crate) mod figures;
pub(crate) mod journal;
pub(crate) mod process;
pub(crate) mod stage;

/// A benchmark reports why it could not measure, and ends.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Run `bench` on this thread: a candidate dies with the thread that started it, so it must be the first.
/// The exit status is 1 where `bench` failed or was interrupted; the cluster is removed either way.
pub(crate) fn run(
    bench: impl AsyncFnOnce(&arguments::Arguments) -> Result<bool>,
) -> std::process::ExitCode {
    use std::process::ExitCode;
    if candidate::main() {
        return ExitCode::SUCCESS;
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
