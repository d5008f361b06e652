//! The end-to-end tests over the functions as AWS runs them: the release binaries under Lambda's runtime interface
//! emulator, over servers that stand in for AWS.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use crate::aws;
use crate::counts::Counts;
use crate::process;
use crate::server::Server;
use crate::stand_ins;
use crate::test::EndToEnd;
use crate::tools;
use crate::workspace::Workspace;

const FUNCTIONS: [&str; 7] = ["register", "initiate", "complete", "decide", "download", "manage", "verify"];

/// Tests of these alone, which `bp serve` is not asked: a part of their names, and why.
pub(crate) const FUNCTIONS_ALONE: (&str, &str) =
    ("outages::", "they are about a key in KMS: the run over the functions has them");

const PROCESS: &str = "it is about the process `bp serve`: its folder, lock, signals, restarts, memory";

/// Tests that are left out of this run: parts of their names, and why.
const LEFT_OUT: [(&str, &str); 19] = [
    ("service::", PROCESS),
    ("slow::crash::", PROCESS),
    ("slow::large::", PROCESS),
    ("slow::six_gigabytes::", PROCESS),
    ("keys::a_key_is_added_promoted_", "it configures a second key"),
    (
        "keys::a_key_that_the_service_does_not_have_",
        "the function that is asked does not know the keys, and says so",
    ),
    ("keys::after_a_compromise_", PROCESS),
    ("keys::what_is_promoted_", PROCESS),
    ("gc::what_nothing_refers_to_", PROCESS),
    ("keys::a_stolen_key_", "it configures a second key"),
    ("keys::where_root_keys_sign_", "it configures a second key"),
    ("gc::a_service_over_the_store_of_another_", PROCESS),
    ("multipart::an_aborted_upload_", PROCESS),
    ("multipart::kill_9_", PROCESS),
    ("multipart::the_command_goes_on_", PROCESS),
    (
        "multipart::the_address_of_a_part_",
        "it reads the refusals of our own store; the S3 suites read those of S3",
    ),
    ("repositories::credentials_in_another_form_", PROCESS),
    ("signatures::a_service_in_delegated_mode_", "it starts the process again with another configuration"),
    ("slow::fuzz::", "it asks so much, one event at a time, that it takes longer than everything else"),
];

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// In `MiniStack`, which has KMS besides.
    MiniStack,
    /// In DynamoDB Local.
    DynamoDbLocal,
}

/// Every end-to-end test that functions can be asked, with what they run over started for it.
pub(crate) fn over_functions(
    workspace: &Workspace,
    equipment: &EndToEnd,
    records: Records,
    counts: &mut Counts,
) -> Result<(), String> {
    let started = Instant::now();
    let functions = build(workspace)?;
    let emulator = emulator(workspace)?;
    println!("\nbuilt the functions in {} s", started.elapsed().as_secs());

    let ministack = stand_ins::ministack(workspace)?;
    let localstack = stand_ins::localstack(workspace)?;
    let dynamodb = match records {
        Records::MiniStack => None,
        Records::DynamoDbLocal => Some(stand_ins::dynamodb_local(workspace)?),
    };
    let started = Instant::now();
    println!("\nthe end-to-end tests over the functions under Lambda's emulator, records in {records:?}");
    let mut command = workspace.command("cargo");
    command
        .args(["test", "--package", "e2e", "--test", "e2e", "--locked"])
        .env("BP_TEST_STACK", "lambda")
        .env("BP_TEST_FUNCTIONS", functions)
        .env("BP_TEST_EMULATOR", emulator)
        .env("BP_TEST_DYNAMODB", dynamodb.as_ref().unwrap_or(&ministack).url())
        .env("BP_TEST_KMS", ministack.url())
        .env("BP_TEST_S3", localstack.url());
    equipment.equip(&mut command);
    command.arg("--");
    let mut left_out = equipment.left_out.clone();
    left_out.extend(LEFT_OUT.map(|(name, why)| (name.to_owned(), why)));
    leave_out(workspace, &left_out, counts)?;
    for name in left_out.keys() {
        command.args(["--skip", name]);
    }
    aws::watch(&mut command, counts)?;
    println!("took {} s", started.elapsed().as_secs());
    [Some(&ministack), Some(&localstack), dynamodb.as_ref()]
        .into_iter()
        .flatten()
        .try_for_each(Server::stays_here)
}

/// Builds the functions as they are deployed; answers with the folder.
fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let mut command = workspace.command("cargo");
    command.args(["build", "--profile", "proof", "--locked", "--bins"]);
    for function in FUNCTIONS {
        command.args(["--package", function]);
    }
    process::run(&mut command)?;
    Ok(workspace.target("proof"))
}

/// The emulator, which comes with the SAM CLI; nothing else of that is needed here.
pub(crate) fn emulator(workspace: &Workspace) -> Result<PathBuf, String> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let folder = workspace.target("tools/emulator");
    let program = folder.join(format!("samcli/local/rapid/aws-lambda-rie-{architecture}"));
    let requirements = tools::read(&workspace.path("tests/python/requirements-sam.txt"))?;
    let wanted = requirements
        .lines()
        .find(|line| line.starts_with("aws-sam-cli=="))
        .ok_or("tests/python/requirements-sam.txt does not name the SAM CLI")?;
    let stamp = folder.join("prepared.txt");
    if !fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        println!("preparing {}", folder.display());
        let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
        process::patiently(|| {
            let mut pip = workspace.command(tools::python_program(&venv, "python"));
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--upgrade",
            ]);
            process::run(pip.arg("--target").arg(&folder).arg(wanted))
        })?;
        make_executable(&program)?;
        fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    }
    Ok(program)
}

#[cfg(unix)]
fn make_executable(program: &std::path::Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("cannot make {} executable: {error}", program.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &std::path::Path) -> Result<(), String> {
    Err("Lambda's emulator runs on Linux alone".to_owned())
}

/// The names of the end-to-end tests.
pub(crate) fn end_to_end(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "e2e", "--test", "e2e", "--locked", "--quiet", "--", "--list"]);
    let list = process::output(&mut command)?;
    Ok(list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// Counts what is left out, by the names of the tests.
pub(crate) fn leave_out(
    workspace: &Workspace,
    left_out: &BTreeMap<String, &'static str>,
    counts: &mut Counts,
) -> Result<(), String> {
    let tests = end_to_end(workspace)?;
    let mut rest = tests.clone();
    for (part, why) in left_out {
        if !tests.iter().any(|test| test.contains(part)) {
            return Err(format!("no end-to-end test is named `{part}`"));
        }
        let before = rest.len();
        rest.retain(|test| !test.contains(part));
        counts.skip(before - rest.len(), &format!("end-to-end tests over functions, `{part}`"), why);
    }
    Ok(())
}
