//! `cargo xtask test`: the one test command.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::fixtures;
use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every test.
    Everything,
    /// All but those in the module `slow` of the end-to-end tests.
    Fast,
}

/// The sum of what the test programs said.
#[derive(Debug, Default)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split(';') {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "filtered out" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Builds, prepares, runs every test and prints the counts as the last line; true when nothing failed.
pub(crate) fn run(workspace: &Workspace, extent: Extent) -> bool {
    let mut counts = Counts::default();
    let mut left_out = BTreeMap::new();
    if let Err(message) = tests(workspace, extent, &mut counts, &mut left_out) {
        counts.failed += 1;
        println!("\nfailed: {message}");
    }
    for (what, why) in &left_out {
        println!("skipped: tests named `{what}`: {why}");
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    counts.failed == 0
}

fn tests(
    workspace: &Workspace,
    extent: Extent,
    counts: &mut Counts,
    left_out: &mut BTreeMap<String, &'static str>,
) -> Result<(), String> {
    let started = Instant::now();
    process::run(workspace.command("cargo").args(["build", "--workspace", "--bins", "--locked"]))?;
    let tools = tools::prepare(workspace)?;
    let fixtures = fixtures::fetch(workspace)?;
    println!("prepared in {} s", started.elapsed().as_secs());

    let mut command = workspace.command("cargo");
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("BP_TEST_BIN", workspace.target("debug").join(format!("bp{}", std::env::consts::EXE_SUFFIX)))
        .env("BP_TEST_VENV", &tools.venv)
        .env("BP_TEST_FIXTURES", &fixtures.folder);
    match &tools.javascript {
        Some(folder) => _ = command.env("BP_TEST_JS", folder),
        None => _ = left_out.insert("with_jose".to_owned(), "install Node.js 20 or later with npm"),
    }
    left_out.extend(fixtures.missing.into_iter().map(|(kind, install)| (format!("real_{kind}_"), install)));
    if extent == Extent::Fast {
        left_out.insert("slow::".to_owned(), "left out by --fast");
    }
    command.arg("--");
    for name in left_out.keys() {
        command.args(["--skip", name]);
    }
    let succeeded = process::watch(&mut command, |line| counts.add(line))?;
    println!("\ntook {} s", started.elapsed().as_secs());
    if !succeeded && counts.failed == 0 {
        return Err("cargo test failed before or beside the tests; see above".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn result_lines_add_up_and_other_lines_do_not_count() {
        let mut counts = Counts::default();
        counts.add(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s",
        );
        counts.add(
            "test result: FAILED. 4 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        );
        counts.add("test a_name ... ok");
        assert_eq!((counts.passed, counts.failed, counts.skipped), (7, 5, 3));
    }
}
