//! `cargo xtask lint`: everything that reads the sources without running them.

use std::process::Command;

use crate::process;
use crate::tools;
use crate::workspace::Workspace;

const CARGO_DENY: &str = "0.20.2";
const CARGO_MACHETE: &str = "0.9.2";
/// No default of the workspace, and so not among what the first run of clippy reads.
const CLIPPY_AWS: [&str; 9] =
    ["clippy", "-p", "shared", "--features=aws", "--all-targets", "--locked", "--", "-D", "warnings"];

const CLIPPY_GCS: [&str; 9] =
    ["clippy", "-p", "shared", "--features=gcs", "--all-targets", "--locked", "--", "-D", "warnings"];

/// The templates of the stack and of those nested in it.
const TEMPLATES: [&str; 3] = ["template.yaml", "infra/cdn.yaml", "infra/monitoring.yaml"];

/// Runs every lint, also after one has failed; true when all passed.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, String> {
    let deny = tools::cargo_tool(workspace, "cargo-deny", CARGO_DENY, "")?;
    let machete = tools::cargo_tool(workspace, "cargo-machete", CARGO_MACHETE, "")?;
    let typos = tools::prepare(workspace)?.python_program("typos");
    let sam = tools::venv(workspace, "sam-venv", "tests/python/requirements-sam.txt")?;
    let lints: [(&str, Command); 11] = [
        ("rustfmt", cargo(workspace, &["fmt", "--all", "--check"])),
        (
            "clippy",
            cargo(workspace, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
        ),
        ("clippy, AWS adapters", cargo(workspace, &CLIPPY_AWS)),
        ("clippy, Google Cloud Storage", cargo(workspace, &CLIPPY_GCS)),
        ("rustdoc", {
            let mut command = cargo(workspace, &["doc", "--workspace", "--no-deps", "--locked"]);
            command.env("RUSTDOCFLAGS", "-D warnings");
            command
        }),
        ("cargo-deny", {
            let mut command = workspace.command(deny);
            command.args(["--workspace", "--locked", "check", "bans", "licenses", "sources"]);
            command
        }),
        ("cargo-machete", {
            let mut command = workspace.command(machete);
            command.arg(workspace.path(""));
            command
        }),
        ("typos", workspace.command(typos)),
        ("sam validate", {
            let mut command = workspace.command(tools::python_program(&sam, "sam"));
            // It looks for the region in the environment, and asks nobody there.
            command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "eu-central-1");
            command.args(["validate", "--lint"]);
            command
        }),
        ("cfn-lint", {
            let mut command = workspace.command(tools::python_program(&sam, "cfn-lint"));
            command.args(TEMPLATES);
            command
        }),
        ("checkov", {
            let mut command = workspace.command(tools::python_program(&sam, "checkov"));
            command.arg("-f").args(TEMPLATES).args(["--skip-download", "--quiet", "--compact"]);
            command
        }),
    ];
    let mut failed = Vec::new();
    for (name, mut command) in lints {
        println!("lint: {name}");
        if let Err(message) = process::run(&mut command) {
            println!("{message}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("lint: all passed");
    } else {
        println!("lint: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.command("cargo");
    command.args(arguments);
    command
}
