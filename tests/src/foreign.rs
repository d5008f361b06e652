//! Repositories of other people: what is written down about each system's files, and whether it holds, shown by the real
//! service and by a client without credentials.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use sha2::Digest;
use tempfile::NamedTempFile;

use crate::bytes::hex;
use crate::server::Server;
use crate::settings;
use crate::story::text;

/// The systems, as `type` names them.
pub const SYSTEMS: [&str; 6] = ["s3", "minio", "gcs", "jfrog", "github", "https"];

/// What is written down about the files of one system.
#[derive(Debug, Clone)]
pub struct Foreign {
    system: String,
    entry: Value,
}

/// What was shown of one file, for the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `public`, `public, read` or `private`.
    pub what: &'static str,
    /// How its bytes were proved: `REPOSITORY` or `FETCHED`.
    pub verification: String,
    /// Whether a client without credentials had the very bytes; no where it has to bring its own.
    pub downloaded: bool,
}

impl Foreign {
    /// Reads the file (YAML): a member for each system.
    pub fn read(file: &Path) -> BTreeMap<String, Self> {
        let source =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let all: BTreeMap<String, Value> = serde_saphyr::from_str(&source).expect("YAML");
        all.into_iter().map(|(system, entry)| (system.clone(), Self::new(&system, entry))).collect()
    }

    /// One system, by its members: `url_prefix`, `credentials`, `region`, `ca_file`, `allow_private`, and the files
    /// `public` and `private`, each with `url`, `sha256` and `size_bytes`.
    pub fn new(system: &str, entry: Value) -> Self {
        assert!(SYSTEMS.contains(&system), "no system is called `{system}`");
        assert!(entry["public"].is_object() || entry["private"].is_object(), "{system} has no file");
        Self { system: system.to_owned(), entry }
    }

    /// Registers each file, has it proved and downloads it: what was shown. Fails where anything is otherwise.
    pub async fn show(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        if let Some(file) = self.file("public") {
            shown.push(self.prove("public", &self.system, None, &file).await);
            // The same bytes once more, of which nobody says anything.
            let read = self.prove("public, read", "https", None, &file).await;
            assert_eq!(read.verification, "FETCHED");
            shown.push(read);
        }
        if let Some(file) = self.file("private") {
            let secret = self.credentials();
            shown.push(self.prove("private", &self.system, Some(secret.path()), &file).await);
        }
        shown
    }

    fn file(&self, name: &str) -> Option<Value> {
        Some(self.entry[name].clone()).filter(Value::is_object)
    }

    /// The credentials in a file, wherever they are: the service gets no environment of ours.
    fn credentials(&self) -> NamedTempFile {
        let value = match text(&self.entry, "credentials").split_once(':').expect("a reference") {
            ("env", name) => settings::variable(name).unwrap_or_else(|| panic!("{name} is not set")),
            ("file", path) => std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")),
            (other, _) => panic!("`env:NAME` or `file:PATH`, not `{other}:`"),
        };
        let file = NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), value).expect("a written file");
        file
    }

    fn configuration(&self, kind: &str, credentials: Option<&Path>) -> String {
        let mut entry = json!({ "name": kind, "type": kind, "url_prefix": self.entry["url_prefix"] });
        for member in ["region", "ca_file", "allow_private"] {
            if !self.entry[member].is_null() {
                entry[member] = self.entry[member].clone();
            }
        }
        if let Some(file) = credentials {
            entry["credentials"] = json!(format!("file:{}", file.display()));
        }
        // JSON is YAML.
        json!({ "repositories": [entry] }).to_string()
    }

    async fn prove(&self, what: &'static str, kind: &str, credentials: Option<&Path>, file: &Value) -> Shown {
        let server = Server::start_with(&self.configuration(kind, credentials));
        let api = server.admin();
        // Files of any host that want credentials have no links: clients bring their own.
        let shut = credentials.is_some() && kind == "https";
        let access = if shut { "client_authenticates" } else { "public" };
        let body = json!({"source_type": "EXTERNAL", "external_url": file["url"], "sha256": file["sha256"],
            "size_bytes": file["size_bytes"], "access": access});
        let made = api.post("/v1/artifacts", &body).await.ok(201);
        let path = format!("/v1/artifacts/{}", text(&made, "artifact_id"));
        let artifact = api.get_until(&path, |artifact| artifact["state"] != "VERIFYING").await;
        let told = format!("{} ({what}): {artifact}", self.system);
        assert_eq!(artifact["state"], "AVAILABLE", "{told}");
        if !shut {
            self.download(&format!("{}{path}/download", server.base()), file).await;
        }
        let verification = text(&artifact, "verification").to_owned();
        Shown { what, verification, downloaded: !shut }
    }

    /// What `curl` gets, which knows nothing.
    async fn download(&self, url: &str, file: &Value) {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--fail", "--location", "--noproxy", "127.0.0.1"]);
        if let Some(authority) = self.entry["ca_file"].as_str() {
            curl.args(["--cacert", authority]);
        }
        let target = NamedTempFile::new().expect("a temporary file");
        let got = curl.arg("--output").arg(target.path()).arg(url).output().await.expect("curl");
        let said = String::from_utf8_lossy(&got.stderr);
        assert!(got.status.success(), "{}: a client without credentials gets nothing: {said}", self.system);
        let (found, size) = digest(target.path());
        assert_eq!((json!(found), json!(size)), (file["sha256"].clone(), file["size_bytes"].clone()));
    }
}

/// The digest of a file, and its size, a piece at a time.
fn digest(file: &Path) -> (String, usize) {
    let mut hash = sha2::Sha256::new();
    let mut bytes = std::fs::File::open(file).expect("a file");
    let (mut piece, mut size) = (vec![0; 1 << 20], 0);
    loop {
        let count = bytes.read(&mut piece).expect("a piece of a file");
        if count == 0 {
            return (hex(&hash.finalize()), size);
        }
        hash.update(&piece[..count]);
        size += count;
    }
}
