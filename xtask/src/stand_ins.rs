//! Servers that speak AWS's protocols or Google's, on loopback: how each is prepared, with a pinned version, and started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::server::Server;
use crate::tools;
use crate::workspace::Workspace;

const MAVEN_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies";
const MAVEN_SCOPE: &str = "-DincludeScope=runtime";
const JAVA: u32 = 17;
const MINIO: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const FAKE_GCS: &str = "github.com/fsouza/fake-gcs-server@v1.56.1";
const GARAGE: &str = "2.5.0";
const GO: u32 = 24;

/// The id and the secret that Garage is started with: it takes them in this form alone.
pub(crate) const GARAGE_KEYS: &str =
    "GKabababababababababababab:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

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
pub(crate) fn lacks_java() -> Option<&'static str> {
    let version = Command::new("javac").arg("--version").output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.strip_prefix("javac ")?.split(['.', '-', '\n', '\r']).next()?.parse::<u32>().ok()
    });
    let enough = version.is_some_and(|version| version >= JAVA) && process::exists("mvn");
    (!enough).then_some("install a JDK 17 or later with Maven (`apt-get install default-jdk-headless maven`)")
}

pub(crate) fn dynamodb_local(workspace: &Workspace) -> Result<Server, String> {
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

/// S3 with its events: to `EventBridge`, and by its rules to queues. Its keys are `test:test`.
pub(crate) fn localstack(workspace: &Workspace) -> Result<Server, String> {
    let venv = tools::venv(workspace, "localstack-venv", "tests/python/requirements-localstack.txt")?;
    let folder = folder(workspace, "localstack")?;
    Server::start("LocalStack", &folder.join("server.log"), |port| {
        let mut command = Command::new(tools::python_program(&venv, "python"));
        command
            .arg(workspace.path("tests/python/run_localstack.py"))
            .arg(port.to_string())
            .current_dir(&folder);
        command
    })
}

/// What to install before `MinIO` and fake-gcs-server can be built.
pub(crate) fn lacks_go() -> Option<&'static str> {
    let version = Command::new("go").args(["env", "GOVERSION"]).output().ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        let (one, rest) = text.trim().strip_prefix("go")?.split_once('.')?;
        Some((one.parse::<u32>().ok()?, rest.split(['.', '-']).next()?.parse::<u32>().ok()?))
    });
    let enough = version.is_some_and(|version| version >= (1, GO));
    (!enough).then_some("install Go 1.24 or later (`apt-get install golang-go` where that is as new)")
}

/// S3 alone, as its users run it. Its keys are `test:testtest`.
pub(crate) fn minio(workspace: &Workspace) -> Result<Server, String> {
    let folder = folder(workspace, "minio")?;
    let program = build(workspace, &folder, "minio", MINIO)?;
    let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
    Server::start("MinIO", &folder.join("server.log"), |port| {
        let mut command = Command::new(tools::python_program(&venv, "python"));
        command
            .arg(workspace.path("tests/python/run_minio.py"))
            .arg(&program)
            .arg(port.to_string())
            .current_dir(&folder)
            .env("MINIO_ROOT_USER", "test")
            .env("MINIO_ROOT_PASSWORD", "testtest");
        command
    })
}

/// S3 as far as Garage speaks it. Its keys are [`GARAGE_KEYS`].
pub(crate) fn garage(workspace: &Workspace) -> Result<Server, String> {
    let folder = folder(workspace, "garage")?;
    let program = tools::cargo_tool(workspace, "garage", GARAGE, "bundled-libs,sqlite")?;
    let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
    Server::start("Garage", &folder.join("server.log"), |port| {
        let mut command = Command::new(tools::python_program(&venv, "python"));
        command
            .arg(workspace.path("tests/python/run_garage.py"))
            .arg(&program)
            .arg(port.to_string())
            .args(GARAGE_KEYS.split(':'))
            .current_dir(&folder);
        command
    })
}

/// Google Cloud Storage, as far as fake-gcs-server and the front before it go: `tests/python/run_gcs.py`.
pub(crate) fn gcs(workspace: &Workspace) -> Result<Server, String> {
    let folder = folder(workspace, "fake-gcs-server")?;
    let program = build(workspace, &folder, "fake-gcs-server", FAKE_GCS)?;
    let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
    Server::start("fake-gcs-server", &folder.join("server.log"), |port| {
        let mut command = Command::new(tools::python_program(&venv, "python"));
        command
            .arg(workspace.path("tests/python/run_gcs.py"))
            .arg(&program)
            .arg(port.to_string())
            .arg(workspace.path("shared/src/adapters/v4/google.json"))
            .current_dir(&folder);
        command
    })
}

/// Builds a server that is a Go module.
fn build(workspace: &Workspace, folder: &Path, name: &str, module: &str) -> Result<PathBuf, String> {
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let stamp = folder.join("prepared.txt");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == module) {
        return Ok(program);
    }
    println!("preparing {}, which takes some minutes", folder.display());
    let build = folder.join("build");
    process::patiently(|| {
        process::run(
            workspace
                .command("go")
                .args(["install", "-modcacherw", "-trimpath", "-ldflags=-s -w", module])
                .env("GOBIN", folder)
                .env("GOPATH", build.join("path"))
                .env("GOCACHE", build.join("cache"))
                .env("GOTOOLCHAIN", "local")
                .env("CGO_ENABLED", "0"),
        )
    })?;
    // Gigabytes of what is needed once.
    fs::remove_dir_all(&build).map_err(|error| format!("cannot remove {}: {error}", build.display()))?;
    fs::write(&stamp, module).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(program)
}

fn folder(workspace: &Workspace, name: &str) -> Result<PathBuf, String> {
    let folder = workspace.target("tools").join(name);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    Ok(folder)
}
