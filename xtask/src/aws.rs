//! `cargo xtask aws`: the AWS adapters over servers that speak AWS's protocols, on loopback.
//!
//! `MiniStack` and `LocalStack` need Python alone. DynamoDB Local, which is Amazon's own, needs Java and Maven besides,
//! and `MinIO` needs Go. Garage needs some minutes to be built.
//!
//! Before anything else runs over a server, `honesty` asks it whether it refuses what AWS refuses: where it does not, the
//! rest of its run would prove nothing. What a server is known to lack leaves out the tests that need it, by name.

use std::process::Command;
use std::time::Instant;

use crate::counts::Counts;
use crate::lacks::{self, Lack};
use crate::lambda::{self, Records};
use crate::process;
use crate::s3;
use crate::server::Server;
use crate::stand_ins;
use crate::test::EndToEnd;
use crate::up::{self, Up};
use crate::workspace::Workspace;

/// Unit tests that the plain run of all tests does not build.
const UNITS: [&str; 4] = [
    "adapters::aws::",
    "adapters::metadata::dynamodb::",
    "adapters::objects::s3::",
    "adapters::signer::kms::",
];
const PROGRAM: &str = "aws";
const HONESTY: &str = "honesty";
const OVER_DYNAMODB: &str = "dynamodb::";

const MINISTACK: [Lack; 2] = [
    Lack {
        what: "it signs messages above the 4 096 bytes that KMS takes",
        tests: &["honesty::kms::a_message_above_4096_bytes_is_refused"],
    },
    Lack {
        what: "it signs with a key that was made for another use",
        tests: &["honesty::kms::a_key_of_another_use_signs_nothing"],
    },
];

const DYNAMODB_LOCAL: [Lack; 1] = [Lack {
    what: "it takes a transaction that checks an item and writes it",
    tests: &["honesty::dynamodb::a_transaction_that_checks_an_item_and_writes_it_is_refused"],
}];

/// Over which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// `MiniStack` and `LocalStack`, for which Python is enough.
    Python,
    /// DynamoDB Local, `MinIO` and Garage besides.
    All,
}

/// Every test of the AWS adapters, with the counts as the last line; true when nothing failed.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let mut counts = Counts::default();
    match EndToEnd::prepare(workspace, true) {
        Ok(equipment) => tests(workspace, Servers::All, &equipment, &mut counts),
        Err(message) => counts.note(Err(message)),
    }
    counts.print()
}

/// Runs the tests and adds them to `counts`, with whatever went wrong.
pub(crate) fn tests(workspace: &Workspace, servers: Servers, equipment: &EndToEnd, counts: &mut Counts) {
    let started = Instant::now();
    let mut believed = true;
    for step in [without_a_server, over_ministack, s3::over_localstack] {
        let step = step(workspace, counts);
        believed &= step.is_ok();
        counts.note(step);
    }
    let left_out = (servers == Servers::Python).then_some("left out; `--all` runs them");
    let step = match left_out.or_else(stand_ins::lacks_java) {
        Some(why) => skip(workspace, counts, why),
        None => over_dynamodb_local(workspace, counts),
    };
    believed &= step.is_ok();
    counts.note(step);
    let step = match left_out.or_else(stand_ins::lacks_go) {
        Some(why) => s3::skip_minio(workspace, counts, why),
        None => s3::over_minio(workspace, counts),
    };
    counts.note(step);
    let step = match left_out {
        Some(why) => s3::skip_garage(workspace, counts, why),
        None => s3::over_garage(workspace, counts),
    };
    counts.note(step);
    println!("\nthe AWS adapters took {} s", started.elapsed().as_secs());
    let records = match left_out.or_else(stand_ins::lacks_java) {
        Some(_) => Records::MiniStack,
        None => Records::DynamoDbLocal,
    };
    let step = if believed {
        lambda::over_functions(workspace, equipment, records, counts)
    } else {
        Err("what stands in for AWS is not believed: the functions are not run over it".to_owned())
    };
    counts.note(step);
}

/// Keeps servers running until it is interrupted, or asked to end by [`down`].
pub(crate) fn up(workspace: &Workspace) -> Result<bool, String> {
    // The last to go: who waits for the end waits until the servers are gone.
    let up = Up::begin(&workspace.target("tools"))?;
    let mut ministack = stand_ins::ministack(workspace)?;
    let localstack = stand_ins::localstack(workspace)?;
    let left_out = |name: &str, install: &str| eprintln!("{name} is left out: {install}");
    let dynamodb = match stand_ins::lacks_java() {
        None => Some(stand_ins::dynamodb_local(workspace)?),
        Some(install) => {
            left_out("DynamoDB Local", install);
            None
        }
    };
    let minio = match stand_ins::lacks_go() {
        None => Some(stand_ins::minio(workspace)?),
        Some(install) => {
            left_out("MinIO", install);
            None
        }
    };
    println!("export BP_TEST_DYNAMODB={}", dynamodb.as_ref().unwrap_or(&ministack).url());
    println!("export BP_TEST_KMS={} BP_TEST_SECRETS={}", ministack.url(), ministack.url());
    println!("export BP_TEST_S3={} BP_TEST_S3_KEYS={}", localstack.url(), s3::LOCALSTACK_KEYS);
    if let Some(minio) = &minio {
        println!("# or MinIO: export BP_TEST_S3={} BP_TEST_S3_KEYS={}", minio.url(), s3::MINIO_KEYS);
    }
    println!("# the end-to-end tests over functions of `cargo build --release`, beside the above:");
    println!("export BP_TEST_STACK=lambda BP_TEST_EMULATOR={}", lambda::emulator(workspace)?.display());
    eprintln!("running until Ctrl-C, or `cargo xtask aws down`");
    ministack.wait(|| up.is_asked_to_end()).map(|()| true)
}

/// Ends what [`up()`] keeps running.
pub(crate) fn down(workspace: &Workspace) -> Result<bool, String> {
    let ended = up::down(&workspace.target("tools"))?;
    println!("{}", if ended { "the servers have ended" } else { "no servers are up" });
    Ok(true)
}

fn without_a_server(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    println!("\nthe AWS adapters without a server");
    watch(cargo_test(workspace, &["--lib"]).arg("--").args(UNITS), counts)
}

fn over_ministack(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let run = Run {
        server: stand_ins::ministack(workspace)?,
        name: "MiniStack",
        variables: &["BP_TEST_DYNAMODB", "BP_TEST_KMS", "BP_TEST_SECRETS"],
        honesty: HONESTY,
        chosen: &["--include-ignored"],
        lacks: &MINISTACK,
    };
    over(workspace, counts, &run)
}

fn over_dynamodb_local(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let run = Run {
        server: stand_ins::dynamodb_local(workspace)?,
        name: "DynamoDB Local",
        variables: &["BP_TEST_DYNAMODB"],
        honesty: "honesty::dynamodb::",
        chosen: &["--ignored", OVER_DYNAMODB],
        lacks: &DYNAMODB_LOCAL,
    };
    over(workspace, counts, &run)
}

struct Run {
    server: Server,
    name: &'static str,
    /// By what the tests find it.
    variables: &'static [&'static str],
    /// Which tests ask whether it is what it stands in for.
    honesty: &'static str,
    /// Which tests there are besides, in the words of `cargo test`.
    chosen: &'static [&'static str],
    lacks: &'static [Lack],
}

fn over(workspace: &Workspace, counts: &mut Counts, run: &Run) -> Result<(), String> {
    println!("\nthe AWS adapters over {} at {}", run.name, run.server.url());
    let names = ignored(workspace, PROGRAM)?;
    let left_out = lacks::leave_out(&names, run.lacks, run.name, counts)?;
    let choose = |choice: &[&str]| {
        let mut command = cargo_test(workspace, &["--test", PROGRAM]);
        command.envs(run.variables.iter().map(|variable| (variable, run.server.url())));
        command.arg("--").args(choice).args(left_out.iter().flat_map(|name| ["--skip", name]));
        command
    };
    let (passed, failed) = (counts.passed, counts.failed);
    watch(&mut choose(&["--ignored", run.honesty]), counts)?;
    if counts.failed > failed || counts.passed == passed {
        return Err(format!("{} is not what it stands in for: its run is void", run.name));
    }
    watch(choose(run.chosen).args(["--skip", HONESTY]), counts)
}

/// Counts the tests that DynamoDB Local is left out of.
fn skip(workspace: &Workspace, counts: &mut Counts, why: &str) -> Result<(), String> {
    let names = ignored(workspace, PROGRAM)?;
    let over = names.iter().filter(|name| name.contains(OVER_DYNAMODB));
    counts.skip(over.count(), "tests over DynamoDB Local", why);
    Ok(())
}

/// The names of a test program's tests that are ignored unless asked for.
pub(crate) fn ignored(workspace: &Workspace, program: &str) -> Result<Vec<String>, String> {
    let mut command = cargo_test(workspace, &["--test", program, "--quiet"]);
    let list = process::output(command.args(["--", "--list", "--ignored"]))?;
    Ok(list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// `cargo test` of the adapters, with these options.
pub(crate) fn cargo_test(workspace: &Workspace, options: &[&str]) -> Command {
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "shared", "--features", "aws", "--locked"]).args(options);
    command
}

/// Runs tests and adds them to `counts`; an error where something else failed.
pub(crate) fn watch(command: &mut Command, counts: &mut Counts) -> Result<(), String> {
    let before = counts.failed;
    let succeeded = process::watch(command, |line| counts.add_chosen(line))?;
    if !succeeded && counts.failed == before {
        return Err("cargo test failed before or beside the tests; see above".to_owned());
    }
    Ok(())
}
