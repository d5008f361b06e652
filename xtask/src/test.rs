//! `cargo xtask test`: the one test command.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::aws::{self, Servers};
use crate::counts::Counts;
use crate::fixtures;
use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The module `slow` of the end-to-end tests, too.
    pub(crate) slow: bool,
    /// Which servers the AWS adapters are run over.
    pub(crate) aws: Servers,
}

impl Extent {
    /// What the words after `test` ask for; `None` where one is unknown.
    pub(crate) fn asked(words: &[&str]) -> Option<Self> {
        let mut extent = Self { slow: true, aws: Servers::Python };
        for word in words {
            match *word {
                "--fast" => extent.slow = false,
                "--all" => extent.aws = Servers::All,
                _ => return None,
            }
        }
        Some(extent)
    }
}

/// Builds, prepares, runs every test and prints the counts as the last line; true when nothing failed.
pub(crate) fn run(workspace: &Workspace, extent: Extent) -> bool {
    let mut counts = Counts::default();
    let mut left_out = BTreeMap::new();
    let step = tests(workspace, extent, &mut counts, &mut left_out);
    counts.note(step);
    aws::tests(workspace, extent.aws, &mut counts);
    for (what, why) in &left_out {
        println!("skipped: tests named `{what}`: {why}");
    }
    counts.print()
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
    if !extent.slow {
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
    use super::{Extent, Servers};

    #[test]
    fn flags_combine_and_unknown_ones_are_refused() {
        assert_eq!(Extent::asked(&[]), Some(Extent { slow: true, aws: Servers::Python }));
        let both = Some(Extent { slow: false, aws: Servers::All });
        assert_eq!(Extent::asked(&["--all", "--fast"]), both);
        assert_eq!(Extent::asked(&["--al"]), None);
    }
}
