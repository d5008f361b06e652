//! The end-to-end tests against a stack on AWS that somebody has deployed for them.

use std::collections::BTreeMap;

use crate::aws;
use crate::counts::Counts;
use crate::lambda;
use crate::process;
use crate::test::EndToEnd;
use crate::workspace::Workspace;

const OWN: &str = "it wants a deployment of its own, or with another configuration";
const PROCESS: &str = "it is about the process `bp serve`";

/// Tests that are left out: parts of their names, and why.
const LEFT_OUT: [(&str, &str); 14] = [
    ("service::", PROCESS),
    ("slow::", PROCESS),
    ("policies::", OWN),
    ("audit::", OWN),
    ("external::", OWN),
    ("in_either_mode", OWN),
    ("gc::", OWN),
    ("keys::", OWN),
    ("multipart::", OWN),
    ("outages::", OWN),
    ("repositories::", OWN),
    ("a_keyset_of_another_deployment", OWN),
    ("completing_after_expiry", OWN),
    ("sizes_outside_the_bounds", OWN),
];

#[expect(
    clippy::disallowed_methods,
    reason = "a token given as an argument would be in the list of processes"
)]
fn token() -> Result<String, String> {
    std::env::var("BP_API_TOKEN").map_err(|_| "BP_API_TOKEN is not set: see docs/aws.md".to_owned())
}

/// Runs them; true when nothing failed. The token with every scope is in `BP_API_TOKEN`.
pub(crate) fn run(workspace: &Workspace, stack: &str) -> Result<bool, String> {
    let token = token()?;
    let mut describe = workspace.command("aws");
    describe.args([
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        stack,
        "--output",
        "text",
        "--query",
    ]);
    describe.arg("Stacks[0].Outputs[?OutputKey=='BaseUrl'].OutputValue");
    let base = process::output(&mut describe).map_err(|error| {
        format!("{error}\nthe AWS CLI finds the stack: `pip install awscli`, and credentials")
    })?;
    let mut counts = Counts::default();
    let equipment = EndToEnd::prepare(workspace, false)?;
    let mut left_out: BTreeMap<_, _> = equipment.left_out.clone();
    left_out.remove("live::");
    left_out.extend(LEFT_OUT.map(|(name, why)| (name.to_owned(), why)));
    lambda::leave_out(workspace, &left_out, &mut counts)?;
    let mut command = workspace.command("cargo");
    command
        .args(["test", "--package", "e2e", "--test", "e2e", "--locked"])
        .env("BP_TEST_STACK", "deployed")
        .env("BP_TEST_BASE_URL", base.trim())
        .env("BP_TEST_TOKEN", token.trim());
    equipment.equip(&mut command);
    command.args(["--", "--show-output"]);
    for name in left_out.keys() {
        command.args(["--skip", name]);
    }
    aws::watch(&mut command, &mut counts)?;
    Ok(counts.print())
}
