//! The suites of objects in Google Cloud Storage, over fake-gcs-server behind a front that refuses what Google refuses.
//!
//! Before anything else runs over it, `honesty` asks whether it does: where it does not, the rest would prove nothing.

use std::process::Command;

use crate::aws::{self, Servers};
use crate::counts::Counts;
use crate::process;
use crate::server::Server;
use crate::stand_ins;
use crate::workspace::Workspace;

const PROGRAM: [&str; 2] = ["--test", "gcs"];
const HONESTY: &str = "honesty::";

/// Runs them with the counts as the last line; true when nothing failed.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let mut counts = Counts::default();
    tests(workspace, Servers::All, &mut counts);
    counts.print()
}

/// Runs them where the server is wanted and can be had; else those that need none, and the others count as skipped.
pub(crate) fn tests(workspace: &Workspace, servers: Servers, counts: &mut Counts) {
    let left_out = (servers == Servers::Python).then_some("left out; `--all` runs them");
    let step = match left_out.or_else(stand_ins::lacks_go) {
        Some(why) => skip(workspace, counts, why),
        None => over(workspace, counts),
    };
    counts.note(step);
}

fn over(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = stand_ins::gcs(workspace)?;
    println!("\nthe suites of Google Cloud Storage over fake-gcs-server at {}", server.url());
    watch(workspace, &server, counts, &["--ignored", HONESTY]).and_then(|failed| {
        if failed {
            Err("fake-gcs-server is not what it stands in for: its run is void".to_owned())
        } else {
            Ok(())
        }
    })?;
    watch(workspace, &server, counts, &["--include-ignored", "--skip", HONESTY])?;
    server.stays_here()
}

/// Runs some of them; true where one failed.
fn watch(
    workspace: &Workspace,
    server: &Server,
    counts: &mut Counts,
    choice: &[&str],
) -> Result<bool, String> {
    let before = counts.failed;
    let mut command = cargo_test(workspace);
    aws::watch(command.args(PROGRAM).env("BP_TEST_GCS", server.url()).arg("--").args(choice), counts)?;
    Ok(counts.failed > before)
}

fn skip(workspace: &Workspace, counts: &mut Counts, why: &str) -> Result<(), String> {
    println!("\nthe suites of Google Cloud Storage without a server");
    aws::watch(cargo_test(workspace).args(PROGRAM).args(["--", "--include-ignored", "signing::"]), counts)?;
    let mut command = cargo_test(workspace);
    let list = process::output(command.args(PROGRAM).args(["--quiet", "--", "--list", "--ignored"]))?;
    let names = list.lines().filter(|line| line.ends_with(": test")).count();
    counts.skip(names, "tests over fake-gcs-server", why);
    Ok(())
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "shared", "--features", "gcs", "--locked"]);
    command
}
