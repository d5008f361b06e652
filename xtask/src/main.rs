//! The project's chores as one command: `cargo xtask test` and `cargo xtask lint`.
//!
//! Everything that a chore needs beyond cargo itself is prepared under the target folder, with pinned versions, and
//! kept there between runs. Nothing outside the target folder is written.

mod fixtures;
mod lint;
mod process;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  test [--fast]   build, prepare tools and fixtures, run every test; --fast leaves out the slow ones
  lint            rustfmt, clippy, rustdoc, cargo-deny, cargo-machete, typos
  fixtures        fetch the real installers that the end-to-end tests use
  tools           prepare the Python and JavaScript tools that the end-to-end tests use";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = Workspace::find().and_then(|workspace| match words.as_slice() {
        ["test"] => Ok(test::run(&workspace, test::Extent::Everything)),
        ["test", "--fast"] => Ok(test::run(&workspace, test::Extent::Fast)),
        ["lint"] => lint::run(&workspace),
        ["fixtures"] => fixtures::fetch(&workspace).map(|_| true),
        ["tools"] => tools::prepare(&workspace).map(|_| true),
        _ => Err(USAGE.to_owned()),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
