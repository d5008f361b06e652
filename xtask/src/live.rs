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
const HOST: &str = "what it reads is on this machine, where the stack does not come";
const LARGE: &str = "it sends five gigabytes: `--large`";

/// Tests that are left out: parts of their names, and why.
const LEFT_OUT: [(&str, &str); 40] = [
    ("service::", PROCESS),
    ("slow::", PROCESS),
    ("outages::", OWN),
    ("doctor::", HOST),
    ("repositories::", HOST),
    ("escrow::when", HOST),
    ("escrow::a_repository", HOST),
    ("audit::every_change", "it expects the address of this machine"),
    ("audit::no_token", PROCESS),
    ("audit::what_the_service_does", HOST),
    ("external::an_", HOST),
    ("external::other_bytes", HOST),
    ("external::a_", HOST),
    ("external::redirects_are", HOST),
    ("external::outside", HOST),
    ("external::bytes_that_drift", HOST),
    ("external::the_query", HOST),
    ("gc::what_nothing", OWN),
    ("gc::a_service_over_the_store_of_another", PROCESS),
    ("keys::a_key", OWN),
    ("keys::what_is_promoted", OWN),
    ("keys::after_a_compromise", OWN),
    ("keys::signed_keysets", OWN),
    ("keys::a_stolen_key", OWN),
    ("keys::the_epoch_is_raised", OWN),
    ("keys::where_root_keys_sign", OWN),
    ("multipart::the_address_of_a_part_", "it reads the refusals of our own store"),
    ("multipart::an_aborted_upload", PROCESS),
    ("multipart::kill_9", PROCESS),
    ("multipart::the_command_goes_on", PROCESS),
    ("refusals::a_request_id_is_returned", PROCESS),
    ("decisions::a_nonce_is_echoed", PROCESS),
    ("policies::a_level", OWN),
    ("policies::each_field", OWN),
    ("policies::blocked_versions", OWN),
    ("in_either_mode", OWN),
    ("a_keyset_of_another_deployment", OWN),
    ("completing_after_expiry", OWN),
    ("sizes_outside_the_bounds", OWN),
    ("buckets::", OWN),
];

/// What it asks for, beside the tests that are there for every stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Some hundred megabytes.
    Small,
    /// A copy of five gigabytes besides.
    Large,
}

/// The copy that is made where somebody asks for it.
const FIVE_GIGABYTES: &str = "live::five_gigabytes";

#[expect(
    clippy::disallowed_methods,
    reason = "a token given as an argument would be in the list of processes"
)]
fn token() -> Result<String, String> {
    std::env::var("BP_API_TOKEN").map_err(|_| "BP_API_TOKEN is not set: see docs/aws.md".to_owned())
}

/// Runs them; true when nothing failed. The token with every scope is in `BP_API_TOKEN`.
pub(crate) fn run(workspace: &Workspace, stack: &str, size: Size) -> Result<bool, String> {
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
    let base = process::output(&mut describe)
        .map_err(|error| format!("{error}\nthe AWS CLI finds the stack: install it, and have credentials"))?;
    let mut counts = Counts::default();
    let equipment = EndToEnd::prepare(workspace, false)?;
    let mut left_out: BTreeMap<_, _> = equipment.left_out.clone();
    left_out.remove("live::");
    left_out.extend(LEFT_OUT.map(|(name, why)| (name.to_owned(), why)));
    if size == Size::Small {
        left_out.insert(FIVE_GIGABYTES.to_owned(), LARGE);
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// What no test against a deployed stack may do: ask for a stack as it wants it, or for a process of this machine.
    const OF_THEIR_OWN: [&str; 7] = [
        "start_with(",
        "Server::start()",
        "Host::start(",
        ".log()",
        "= server.data()",
        ".pid()",
        "cool_down(",
    ];

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|entry| if entry.is_dir() { sources(&entry) } else { vec![entry] }).collect()
    }

    /// The functions of a file with their bodies: the name, whether it is a test, and the text.
    fn functions(source: &str) -> Vec<(String, bool, String)> {
        let mut found: Vec<(String, bool, String)> = Vec::new();
        let mut test = false;
        for line in source.lines() {
            let words = line.trim_start_matches("pub(super) ").trim_start_matches("async ");
            if let Some(rest) = words.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default().to_owned();
                found.push((name, std::mem::take(&mut test), String::new()));
            }
            test |= line.starts_with("#[tokio::test");
            if let Some((_, _, body)) = found.last_mut() {
                body.push_str(line);
                body.push('\n');
            }
        }
        found
    }

    #[test]
    fn what_wants_a_deployment_of_its_own_is_left_out() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests/e2e");
        let (mut seen, mut wrong) = (0, Vec::new());
        for file in sources(&folder) {
            let module = file.strip_prefix(&folder).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            let functions = functions(&fs::read_to_string(&file).unwrap());
            let own = |body: &str| OF_THEIR_OWN.iter().any(|word| body.contains(word));
            let helpers: Vec<String> = functions
                .iter()
                .filter(|(_, test, body)| !test && own(body))
                .map(|(name, ..)| format!("{name}("))
                .collect();
            for (name, _, body) in functions.iter().filter(|(_, test, _)| *test) {
                if own(body) || helpers.iter().any(|helper| body.contains(helper.as_str())) {
                    let name = format!("{module}::{name}");
                    seen += 1;
                    if !LEFT_OUT.iter().any(|(part, _)| name.contains(part)) {
                        wrong.push(name);
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "they would be run against a stack that they cannot have: {wrong:#?}");
        assert!(seen > 30, "only {seen} tests want a deployment of their own");
    }
}
