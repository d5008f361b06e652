//! What a function meets outside: a stand-in for AWS behind TLS, with two products of eight releases each.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::lambda::Function;
use crate::server::Server;
use crate::stand_ins;
use crate::tools;
use crate::workspace::Workspace;

/// The products that are asked about.
pub(crate) const PRODUCTS: [&str; 2] = ["editor", "viewer"];
const RELEASES: u32 = 8;

/// The servers, and what functions are told about them.
#[derive(Debug)]
pub(crate) struct Stage {
    environment: Vec<(String, String)>,
    front: Child,
    _ministack: Server,
}

impl Stage {
    /// Starts the servers and has the functions in `programs` make a catalogue.
    pub(crate) fn set(workspace: &Workspace, programs: &Path) -> Result<Self, String> {
        let ministack = stand_ins::ministack(workspace)?;
        let (front, found) = front(workspace, &ministack.url())?;
        let environment = environment(workspace, &found)?;
        let stage = Self { environment, front, _ministack: ministack };
        stage.fill(programs, &found)?;
        Ok(stage)
    }

    /// The environment of a function, with these variables besides.
    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.environment.iter().cloned().chain(more).collect()
    }

    fn fill(&self, programs: &Path, found: &Value) -> Result<(), String> {
        let log = programs.join("stage.log");
        let start = |name: &str| Function::start(&programs.join(name), &self.environment, Some(&log));
        let token = text(found, "token")?;
        let order =
            json!({ "task": "bootstrap", "token_id": found.get("token_id"), "hash": found.get("hash") });
        start("verify")?.invoke(&order.to_string())?;
        let (mut register, mut manage) = (start("register")?, start("manage")?);
        for product in PRODUCTS {
            let body = json!({ "product_id": product });
            post(&mut manage, "/v1/products", token, &body)?;
            for patch in 0..RELEASES {
                let url = format!("https://downloads.example.com/{product}-{patch}.msi");
                let body = json!({ "source_type": "EXTERNAL", "sha256": format!("{patch:064x}"),
                    "size_bytes": 123_456_789, "external_url": url, "file_name": "installer.msi",
                    "access": "client_authenticates" });
                let artifact = post(&mut register, "/v1/artifacts", token, &body)?;
                let part = json!({ "artifact_id": artifact.get("artifact_id"), "platform": "windows",
                    "arch": "x86_64", "installer_type": "msi" });
                let body = json!({ "product_id": product, "version": format!("1.0.{patch}"),
                    "channel": "stable", "artifacts": [part] });
                post(&mut manage, "/v1/releases", token, &body)?;
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.front.stdin.take());
        // It ends with its input; where that fails, it is ended.
        _ = self.front.kill();
        _ = self.front.wait();
    }
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str, String> {
    value.get(member).and_then(Value::as_str).ok_or_else(|| format!("the front told no `{member}`"))
}

/// TLS before the stand-in.
fn front(workspace: &Workspace, upstream: &str) -> Result<(Child, Value), String> {
    let venv = tools::venv(workspace, "aws-venv", "tests/python/requirements-aws.txt")?;
    let folder = folder(workspace)?;
    let mut child = Command::new(tools::python_program(&venv, "python"))
        .arg(workspace.path("tests/python/aws_over_tls.py"))
        .arg(upstream)
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the TLS front: {error}"))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // What it could not read is told by what is missing in it.
        _ = BufReader::new(stdout).read_line(&mut line);
    }
    let found = serde_json::from_str(&line).map_err(|_| format!("the TLS front said `{line}`"))?;
    Ok((child, found))
}

fn folder(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = workspace.target("bench").join("tls");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    Ok(folder)
}

fn environment(workspace: &Workspace, found: &Value) -> Result<Vec<(String, String)>, String> {
    let port = found.get("port").and_then(Value::as_u64).ok_or("the front told no `port`")?;
    let front = format!("https://127.0.0.1:{port}");
    let authority = folder(workspace)?.join("ca.pem").display().to_string();
    let pairs = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_CA_BUNDLE", authority.as_str()),
        ("BP_BASE_URL", "https://updates.example.com"),
        ("BP_METADATA__TYPE", "dynamodb"),
        ("BP_METADATA__DYNAMODB__TABLE", text(found, "table")?),
        ("BP_METADATA__DYNAMODB__ENDPOINT", front.as_str()),
        ("BP_STORAGE__TYPE", "s3"),
        ("BP_STORAGE__S3__BUCKET", "big-picture"),
        ("BP_QUEUE__TYPE", "sqs"),
        ("BP_QUEUE__SQS__URL", "https://sqs.eu-central-1.amazonaws.com/123456789012/work"),
        ("BP_QUEUE__SQS__ENDPOINT", front.as_str()),
        ("BP_SIGNING__TYPE", "kms"),
        ("BP_SIGNING__MODE", super::SIGNING_MODE),
        ("BP_SIGNING__KMS__KEY_ID", text(found, "key_id")?),
        ("BP_SIGNING__KMS__ENDPOINT", front.as_str()),
        ("BP_EXTERNAL__ALLOW_DECLARED", "true"),
        // Nothing changes the catalogue, so its age is what a deployment has.
        ("BP_DECISIONS__MAX_AGE_SECONDS", "25"),
    ];
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// A request as API Gateway hands it to a function.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: &Value) -> String {
    let mut headers = json!({ "content-type": "application/json", "host": "updates.example.com",
        "user-agent": "bench/1", "accept": "*/*", "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443", "x-forwarded-proto": "https" });
    if let (Some(token), Some(headers)) = (token, headers.as_object_mut()) {
        headers.insert("authorization".into(), format!("Bearer {token}").into());
    }
    let http = json!({ "method": method, "path": path, "protocol": "HTTP/1.1",
        "sourceIp": "203.0.113.7", "userAgent": "bench/1" });
    let context = json!({ "accountId": "123456789012", "apiId": "api", "domainName": "updates.example.com",
        "domainPrefix": "updates", "http": http, "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default",
        "stage": "$default", "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1_773_342_238_000_i64 });
    json!({ "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": headers, "requestContext": context, "body": body.to_string(), "isBase64Encoded": false })
    .to_string()
}

fn post(function: &mut Function, path: &str, token: &str, body: &Value) -> Result<Value, String> {
    let answer = function.invoke(&request("POST", path, Some(token), body))?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    match answer.get("statusCode").and_then(Value::as_u64) {
        Some(200..300) => serde_json::from_str(body).map_err(|_| format!("{path} answered {body}")),
        _ => Err(format!("{path} answered {answer}")),
    }
}
