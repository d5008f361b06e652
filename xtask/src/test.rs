//! `cargo xtask test`: the one test command.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::aws::{self, Servers};
use crate::buckets;
use crate::counts::Counts;
use crate::fixtures::{self, Fixtures};
use crate::gcs;
use crate::lambda;
use crate::live_repositories;
use crate::process;
use crate::tools::{self, Tools};
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
    match EndToEnd::prepare(workspace, extent.slow) {
        Ok(equipment) => {
            let step = tests(workspace, &equipment, &mut counts);
            counts.note(step);
            buckets::tests(workspace, extent.aws, &equipment, &mut counts);
            gcs::tests(workspace, extent.aws, &mut counts);
            aws::tests(workspace, extent.aws, &equipment, &mut counts);
            for (what, why) in &equipment.left_out {
                println!("skipped: tests named `{what}`: {why}");
            }
        }
        Err(message) => counts.note(Err(message)),
    }
    counts.print()
}

/// What the end-to-end tests need, wherever they run.
#[derive(Debug)]
pub(crate) struct EndToEnd {
    bp: PathBuf,
    tools: Tools,
    fixtures: Fixtures,
    /// Parts of the names of tests that cannot run on this machine or are not wanted, and why.
    pub(crate) left_out: BTreeMap<String, &'static str>,
}

impl EndToEnd {
    /// Builds and fetches it; with the module `slow` or without.
    pub(crate) fn prepare(workspace: &Workspace, slow: bool) -> Result<Self, String> {
        let started = Instant::now();
        process::run(workspace.command("cargo").args(["build", "--workspace", "--bins", "--locked"]))?;
        let tools = tools::prepare(workspace)?;
        let fixtures = fixtures::fetch(workspace)?;
        println!("prepared in {} s", started.elapsed().as_secs());
        let mut left_out = BTreeMap::new();
        left_out.insert("live::".to_owned(), "asks a stack that was deployed: `cargo xtask aws live`");
        left_out.insert(buckets::MODULE.to_owned(), "run by themselves, over each server");
        let why = "asks real services: `cargo xtask live-repositories`";
        left_out.insert(live_repositories::MODULE.to_owned(), why);
        if tools.javascript.is_none() {
            left_out.insert("with_jose".to_owned(), "install Node.js 20 or later with npm");
        }
        let missing = fixtures.missing.iter();
        left_out.extend(missing.map(|(kind, install)| (format!("real_{kind}_"), *install)));
        if !slow {
            left_out.insert("slow::".to_owned(), "left out by --fast");
        }
        let bp = workspace.target("debug").join(format!("bp{}", std::env::consts::EXE_SUFFIX));
        Ok(Self { bp, tools, fixtures, left_out })
    }

    /// Tells a run of the tests where it is.
    pub(crate) fn equip(&self, command: &mut Command) {
        command
            .env("BP_TEST_BIN", &self.bp)
            .env("BP_TEST_VENV", &self.tools.venv)
            .env("BP_TEST_FIXTURES", &self.fixtures.folder);
        if let Some(folder) = &self.tools.javascript {
            command.env("BP_TEST_JS", folder);
        }
    }
}

fn tests(workspace: &Workspace, equipment: &EndToEnd, counts: &mut Counts) -> Result<(), String> {
    let started = Instant::now();
    let mut command = workspace.command("cargo");
    command.args(["test", "--workspace", "--features", "client/blocking", "--locked", "--no-fail-fast"]);
    equipment.equip(&mut command);
    let (alone, why) = lambda::FUNCTIONS_ALONE;
    println!("skipped here: tests named `{alone}`: {why}");
    command.args(["--", "--skip", alone]);
    for name in equipment.left_out.keys() {
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
