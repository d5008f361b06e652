//! `cargo xtask aws`: the AWS adapters over servers that speak AWS's protocols, on loopback.
//!
//! `MiniStack` needs Python alone. DynamoDB Local, which is Amazon's own, needs Java and Maven besides.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::counts::Counts;
use crate::process;
use crate::server::Server;
use crate::tools;
use crate::workspace::Workspace;

/// Unit tests that the plain run of all tests does not build.
const UNITS: [&str; 4] = [
    "adapters::aws::",
    "adapters::metadata::dynamodb::",
    "adapters::objects::s3::",
    "adapters::signer::kms::",
];
const OVER_DYNAMODB: [&str; 1] = ["dynamodb::"];
const MAVEN_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
const MAVEN_SCOPE: &str = "-DincludeScope=runtime";
const JAVA: u32 = 17;

/// `MiniStack` as its own command starts it, but ending with its standard input.
const MINISTACK: &str = "
import os, sys, threading
def end_with_input():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=end_with_input, daemon=True).start()
from ministack.app import main
sys.argv = ['ministack']
main()
";

/// Over which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// `MiniStack`, for which Python is enough.
    MiniStack,
    /// DynamoDB Local besides.
    Both,
}

/// Every test of the AWS adapters, with the counts as the last line; true when nothing failed.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let mut counts = Counts::default();
    tests(workspace, Servers::Both, &mut counts);
    counts.print()
}

/// Runs the tests and adds them to `counts`, with whatever went wrong.
pub(crate) fn tests(workspace: &Workspace, servers: Servers, counts: &mut Counts) {
    let started = Instant::now();
    for step in [without_a_server, over_ministack] {
        let step = step(workspace, counts);
        counts.note(step);
    }
    let left_out = match servers {
        Servers::MiniStack => Some("left out; `--all` runs them"),
        Servers::Both => lacking(),
    };
    let step = match left_out {
        Some(why) => skip(workspace, counts, why),
        None => over_dynamodb_local(workspace, counts),
    };
    counts.note(step);
    println!("\nthe AWS adapters took {} s", started.elapsed().as_secs());
}

/// Keeps servers running until it is interrupted.
pub(crate) fn up(workspace: &Workspace) -> Result<bool, String> {
    let mut ministack = ministack(workspace)?;
    let dynamodb = match lacking() {
        None => Some(dynamodb_local(workspace)?),
        Some(install) => {
            eprintln!("DynamoDB Local is left out: {install}");
            None
        }
    };
    let dynamodb_url = dynamodb.as_ref().unwrap_or(&ministack).url();
    println!("export BP_TEST_DYNAMODB={dynamodb_url}");
    println!("export BP_TEST_KMS={}", ministack.url());
    eprintln!("running until Ctrl-C");
    ministack.wait().map(|()| true)
}

fn without_a_server(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    println!("\nthe AWS adapters without a server");
    watch(cargo_test(workspace, &["--lib"]).arg("--").args(UNITS), counts)?;
    watch(&mut cargo_test(workspace, &["--test", "aws_s3"]), counts)?;
    println!("skipped: tests over S3: name a server, see docs/aws.md");
    Ok(())
}

fn over_ministack(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = ministack(workspace)?;
    println!("\nthe AWS adapters over MiniStack at {}", server.url());
    let mut command = cargo_test(workspace, &["--test", "aws"]);
    command
        .env("BP_TEST_DYNAMODB", server.url())
        .env("BP_TEST_KMS", server.url())
        .args(["--", "--include-ignored"]);
    watch(&mut command, counts)
}

fn over_dynamodb_local(workspace: &Workspace, counts: &mut Counts) -> Result<(), String> {
    let server = dynamodb_local(workspace)?;
    println!("\nthe AWS adapters over DynamoDB Local at {}", server.url());
    let mut command = cargo_test(workspace, &["--test", "aws"]);
    command.env("BP_TEST_DYNAMODB", server.url()).args(["--", "--ignored"]).args(OVER_DYNAMODB);
    watch(&mut command, counts)
}

/// Counts the tests that DynamoDB Local is left out of.
fn skip(workspace: &Workspace, counts: &mut Counts, why: &str) -> Result<(), String> {
    let list = process::output(
        cargo_test(workspace, &["--test", "aws", "--quiet"])
            .args(["--", "--list", "--ignored"])
            .args(OVER_DYNAMODB),
    )?;
    for _ in list.lines().filter(|line| line.ends_with(": test")) {
        counts.skipped += 1;
    }
    println!("skipped: tests over DynamoDB Local: {why}");
    Ok(())
}

fn cargo_test(workspace: &Workspace, options: &[&str]) -> Command {
    let mut command = workspace.command("cargo");
    command.args(["test", "--package", "shared", "--features", "aws", "--locked"]).args(options);
    command
}

fn watch(command: &mut Command, counts: &mut Counts) -> Result<(), String> {
    let before = counts.failed;
    let succeeded = process::watch(command, |line| counts.add_chosen(line))?;
    if !succeeded && counts.failed == before {
        return Err("cargo test failed before or beside the tests; see above".to_owned());
    }
    Ok(())
}

/// `MiniStack`, on a free port.
pub(crate) fn ministack(workspace: &Workspace) -> Result<Server, String> {
    let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
    let folder = folder(workspace, "ministack")?;
    Server::start("MiniStack", &folder.join("server.log"), |port| {
        let mut command = Command::new(tools::python_program(&venv, "python"));
        let port = port.to_string();
        command
            .args(["-c", MINISTACK])
            .current_dir(&folder)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", &port)
            .env("EDGE_PORT", &port)
            // Further services that would listen elsewhere, the first on every address.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("PERSIST_STATE", "0")
            .env("STATE_DIR", folder.join("state"))
            .env("TMPDIR", &folder);
        command
    })
}

/// What to install before DynamoDB Local can be run.
fn lacking() -> Option<&'static str> {
    let version = Command::new("javac").arg("--version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.strip_prefix("javac ")?.split(['.', '-', '\n', '\r']).next()?.parse::<u32>().ok()
    });
    let enough = version.is_some_and(|version| version >= JAVA) && process::exists("mvn");
    (!enough).then_some("install a JDK 17 or later with Maven (`apt-get install default-jdk-headless maven`)")
}

fn dynamodb_local(workspace: &Workspace) -> Result<Server, String> {
    let folder = folder(workspace, "dynamodb-local")?;
    let sources = workspace.path("tests/java/dynamodb-local");
    let project = sources.join("pom.xml");
    let (stamp, lib) = (folder.join("prepared.xml"), folder.join("lib"));
    let wanted = tools::read(&project)?;
    if !fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        println!("preparing {}", folder.display());
        if lib.exists() {
            fs::remove_dir_all(&lib).map_err(|error| format!("cannot remove {}: {error}", lib.display()))?;
        }
        let mut to = std::ffi::OsString::from("-DoutputDirectory=");
        to.push(&lib);
        process::patiently(|| {
            let mut maven = workspace.command("mvn");
            maven.args(["-B", "-q", "-f"]).arg(&project).args([MAVEN_PLUGIN, MAVEN_SCOPE]).arg(&to);
            process::run(&mut maven)
        })?;
        fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    }
    Server::start("DynamoDB Local", &folder.join("server.log"), |port| {
        let mut command = Command::new("java");
        command
            .current_dir(&folder)
            .args(["-Djava.library.path=lib", "-cp", "lib/*"])
            .arg(sources.join("Loopback.java"))
            .args(["-inMemory", "-disableTelemetry", "-port", &port.to_string()]);
        command
    })
}

fn folder(workspace: &Workspace, name: &str) -> Result<PathBuf, String> {
    let folder = workspace.target("tools").join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    Ok(folder)
}
