//! The configuration: a YAML file, each key also as an environment variable (`BP_STORAGE__FILESYSTEM__ROOT`).
//!
//! The one place that reads the environment. Everything is read at once, and every bad value is reported together.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::domain::{
    external_url::{RepositoryPrefix, UrlRules},
    names::ProductId,
    secret::Secret,
};

mod reader;
mod signing;

use reader::Reader;
pub use signing::{SigningBudget, SigningMode};

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// How clients reach us, without a slash at the end; `None`: the host's own address.
    pub base_url: Option<String>,
    /// Where managed bytes are kept.
    pub storage: Storage,
    /// Where records are kept.
    pub metadata: Metadata,
    /// What signs decisions.
    pub signing: Signing,
    /// Which key signs decisions; by default the key in the file itself.
    pub signing_mode: SigningMode,
    /// How often a remote key may sign in direct mode.
    pub signing_budget: SigningBudget,
    /// How external artifacts are treated.
    pub external: External,
    /// How long an upload lives, in seconds: 1 to 2 592 000 (30 days), by default 86 400.
    pub upload_expires_in_seconds: i64,
    /// The largest upload, in bytes, by default 107 374 182 400 (100 GiB).
    pub upload_max_size_bytes: u64,
    /// How old an answer may be while the records cannot be reached, in seconds: 0 to 86 400, by default 300.
    pub decision_max_stale_seconds: i64,
    /// How long a decision lives, in seconds: 60 to 86 400, by default 3 600.
    pub decision_lifetime_seconds: i64,
    /// Where public managed artifacts are downloaded from instead.
    pub cdn_url: Option<String>,
    /// The least important lines that are logged: `error`, `warn`, `info` (the default) or `debug`.
    pub log_level: String,
    /// Repositories with rules of their own.
    pub repositories: Vec<Repository>,
}

/// Where managed bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In a folder of this machine.
    Filesystem {
        /// The folder.
        root: PathBuf,
    },
}

/// Where records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// In a SQLite file of this machine.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
}

/// What signs decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// A key in a file of this machine, made on first start.
    Local {
        /// The file: PKCS#8 in PEM.
        key_file: PathBuf,
        /// The kind of key that is made.
        algorithm: decision::jwk::Alg,
        /// Whether a key that the keyset does not list is taken up; no by default.
        take_up_new_key: bool,
    },
}

/// How external artifacts are treated.
#[derive(Debug, Clone)]
pub struct External {
    /// Whether an artifact may be taken on the registrant's word alone; no by default.
    pub allow_declared: bool,
    /// What URLs may be registered.
    pub url_rules: UrlRules,
    /// The longest wait for a connection, in seconds, by default 10.
    pub connect_timeout_seconds: u64,
    /// The longest silence of a host, in seconds, by default 30.
    pub silence_timeout_seconds: u64,
    /// The time for a whole fetch before its size counts, in seconds, by default 60.
    pub total_timeout_seconds: u64,
    /// The slowest rate that adds time for the size, in bytes a second, by default 262 144.
    pub min_bytes_per_second: u64,
    /// How long after the first failure a fetch is tried again, in seconds, by default 30; it doubles up to an hour.
    pub retry_first_seconds: i64,
}

/// A repository with rules of its own.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What the operator calls it.
    pub name: String,
    /// The URLs that belong to it.
    pub url_prefix: RepositoryPrefix,
    /// The value of the `Authorization` header that opens it.
    pub credentials: Option<Secret>,
    /// Whether it may be on a private network.
    pub allow_private: bool,
    /// Certificates (PEM) that are trusted for it, beside the public ones.
    pub ca_pem: Option<Vec<u8>>,
    /// The products whose releases may use it; `None` for all.
    pub products: Option<Vec<ProductId>>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One line for each thing that is wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// The keys of the top level: what else begins with `BP_` in the environment is none of ours.
const TOP: [&str; 10] = [
    "log",
    "base_url",
    "storage",
    "metadata",
    "signing",
    "external",
    "uploads",
    "decisions",
    "cdn_url",
    "repositories",
];

impl Config {
    /// Reads the file, if any, and the environment over it; what neither says lies under `data`.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn load(file: Option<&Path>, data: &Path) -> Result<Self, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| ConfigError {
                problems: vec![format!("`{}` cannot be read: {error}", path.display())],
            })?,
        };
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::read(&text, &environment, data)
    }

    /// Reads a configuration from its text and an environment.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn read(
        text: &str,
        environment: &BTreeMap<String, String>,
        data: &Path,
    ) -> Result<Self, ConfigError> {
        let mut root = parse(text)?;
        for (name, value) in environment {
            overlay(&mut root, name, value);
        }
        let mut reader = Reader::new(root, environment);
        let config = Self::gather(&mut reader, data);
        let problems = reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigError { problems }),
        }
    }

    /// Reads every value before it gives up on any: what is wrong with one says nothing about the others.
    fn gather(reader: &mut Reader<'_>, data: &Path) -> Option<Self> {
        let (storage, metadata) = (storage(reader, data), metadata(reader, data));
        let signing_key = signing(reader, data);
        let signing_mode = signing::mode(reader, "direct");
        let signing_budget = signing::budget(reader);
        let log_level = reader.word("log.level", &["error", "warn", "info", "debug"], &[], "info");
        let (base_url, cdn_url) = (reader.url("base_url"), reader.url("cdn_url"));
        let external = external(reader);
        let max_size = reader.whole("uploads.max_size_bytes", 1..=(1 << 53) - 1, 107_374_182_400);
        let upload_expires_in_seconds = reader.whole("uploads.expires_in_seconds", 1..=2_592_000, 86_400);
        let decision_max_stale_seconds = reader.whole("decisions.max_stale_seconds", 0..=86_400, 300);
        let decision_lifetime_seconds = reader.whole("decisions.lifetime_seconds", 60..=86_400, 3_600);
        let repositories = reader.repositories();
        Some(Self {
            base_url,
            storage: storage?,
            metadata: metadata?,
            signing: signing_key?,
            signing_mode: signing_mode?,
            signing_budget,
            external,
            upload_expires_in_seconds,
            upload_max_size_bytes: max_size.unsigned_abs(),
            decision_max_stale_seconds,
            decision_lifetime_seconds,
            cdn_url,
            log_level: log_level?,
            repositories,
        })
    }
}

fn parse(text: &str) -> Result<Value, ConfigError> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let problem = |problem: String| ConfigError { problems: vec![problem] };
    let root: Value = serde_saphyr::from_str(text)
        .map_err(|error| problem(format!("the file is not YAML as it is expected here: {error}")))?;
    match root {
        Value::Object(_) => Ok(root),
        Value::Null => Ok(Value::Object(Map::new())),
        _ => Err(problem("the file is to hold keys and values".into())),
    }
}

/// Lays one environment variable over the file's keys. What is no key of ours at the top level is somebody else's.
fn overlay(root: &mut Value, name: &str, value: &str) {
    let Some(path) = name.strip_prefix("BP_") else { return };
    let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    if !path.first().is_some_and(|first| TOP.contains(&first.as_str())) {
        return;
    }
    let mut place = root;
    for key in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(members) = place else { return };
        place = members.entry(key).or_insert(Value::Null);
    }
    // Numbers, booleans and lists are written as in JSON; everything else is text.
    *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
}

fn storage(reader: &mut Reader, data: &Path) -> Option<Storage> {
    reader.ignore(&["storage.s3", "storage.gcs", "storage.minio"]);
    let root = reader.path("storage.filesystem.root").unwrap_or_else(|| data.join("objects"));
    match reader.word("storage.type", &["filesystem"], &["s3", "gcs", "minio"], "filesystem")?.as_str() {
        "filesystem" => Some(Storage::Filesystem { root }),
        _ => None,
    }
}

fn metadata(reader: &mut Reader, data: &Path) -> Option<Metadata> {
    reader.ignore(&["metadata.dynamodb"]);
    let path = reader.path("metadata.sqlite.path").unwrap_or_else(|| data.join("bigpicture.db"));
    match reader.word("metadata.type", &["sqlite"], &["dynamodb"], "sqlite")?.as_str() {
        "sqlite" => Some(Metadata::Sqlite { path }),
        _ => None,
    }
}

fn signing(reader: &mut Reader, data: &Path) -> Option<Signing> {
    use decision::jwk::Alg;
    reader.ignore(&["signing.kms"]);
    let key_file = reader.path("signing.local.key_file").unwrap_or_else(|| data.join("signing.pem"));
    let algorithm = reader.word("signing.local.algorithm", &["ES256", "EdDSA"], &[], "ES256");
    let take_up_new_key = reader.flag("signing.take_up_new_key", false);
    let kind = reader.word("signing.type", &["local"], &["kms"], "local");
    kind?;
    let algorithm = if algorithm? == "EdDSA" { Alg::EdDsa } else { Alg::Es256 };
    Some(Signing::Local { key_file, algorithm, take_up_new_key })
}

fn external(reader: &mut Reader<'_>) -> External {
    let denied = reader.ports("external.denied_ports");
    let mut url_rules = UrlRules::default();
    if let Some(denied) = denied {
        url_rules.denied_ports = denied;
    }
    External {
        allow_declared: reader.flag("external.allow_declared", false),
        url_rules,
        connect_timeout_seconds: reader.whole("external.connect_timeout_seconds", 1..=300, 10).unsigned_abs(),
        silence_timeout_seconds: reader.whole("external.silence_timeout_seconds", 1..=600, 30).unsigned_abs(),
        total_timeout_seconds: reader.whole("external.total_timeout_seconds", 1..=86_400, 60).unsigned_abs(),
        min_bytes_per_second: reader
            .whole("external.min_bytes_per_second", 1..=1_073_741_824, 262_144)
            .unsigned_abs(),
        retry_first_seconds: reader.whole("external.retry_first_seconds", 1..=3_600, 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Config::read(text, &environment, Path::new("/data"))
    }

    #[test]
    fn nothing_said_means_one_machine_under_the_data_folder() {
        let config = read("", &[("BP_API_TOKEN", "x"), ("BP_TEST", "y"), ("PATH", "/bin")]).unwrap();
        assert_eq!(config.storage, Storage::Filesystem { root: "/data/objects".into() });
        assert_eq!(config.metadata, Metadata::Sqlite { path: "/data/bigpicture.db".into() });
        assert_eq!(config.base_url, None);
        assert_eq!(config.upload_expires_in_seconds, 86_400);
    }

    #[test]
    fn the_environment_is_laid_over_the_file() {
        let text = "base_url: https://a.example\nuploads: { expires_in_seconds: 60 }\n";
        let config =
            read(text, &[("BP_UPLOADS__EXPIRES_IN_SECONDS", "90"), ("BP_BASE_URL", "https://b.example/")]);
        let config = config.unwrap();
        assert_eq!(config.upload_expires_in_seconds, 90);
        assert_eq!(config.base_url.as_deref(), Some("https://b.example"));
    }

    #[test]
    fn every_bad_value_is_reported_together() {
        let text = "base_url: ftp://x\nuploads: { expires_in_seconds: soon, max_size_bytes: 0 }\nstrange: 1\n\
                    storage: { type: tape }\nsigning: { mode: sideways, budget: { burst: 4 } }\nexternal: { allow_declared: 3, typo: 1 }\n\
                    repositories: [{ name: x, type: tape, url_prefix: 'https://a.example/b/../c' }]\nlog: { level: all }\n";
        let error = read(text, &[]).unwrap_err();
        for key in [
            "base_url",
            "uploads.expires_in_seconds",
            "uploads.max_size_bytes",
            "strange",
            "storage.type",
            "signing.mode",
            "signing.budget.burst",
            "external.allow_declared",
            "external.typo",
            "repositories[0]",
            "log.level",
        ] {
            let of_key = |problem: &&String| {
                problem.starts_with(&format!("`{key}`")) || problem.starts_with(&format!("{key}: "))
            };
            assert!(error.problems.iter().any(|problem| of_key(&problem)), "{key}: {error}");
        }
        assert!(!error.to_string().contains("`repositories`: there is no such key"), "{error}");
    }

    #[test]
    fn the_documented_page_is_understood_where_it_is_built_and_named_where_it_is_not() {
        let text = "storage: { type: s3, s3: { bucket: b, region: us-east-1, endpoint: \"\" } }\n";
        let error = read(text, &[]).unwrap_err();
        assert!(error.to_string().contains("not built yet"), "{error}");
    }

    #[test]
    fn repositories_take_credentials_by_reference_alone() {
        let text = "repositories:\n- { name: a, type: https, url_prefix: 'https://files.example.com/x', \
                    credentials: 'env:FILES_AUTH', products: [editor] }\n";
        let config = read(text, &[("FILES_AUTH", "Bearer abc")]).unwrap();
        let entry = &config.repositories[0];
        assert_eq!(entry.credentials.as_ref().unwrap().reveal(), "Bearer abc");
        assert!(!format!("{config:?}").contains("abc"));
        let missing = read(text, &[]).unwrap_err().to_string();
        assert!(missing.contains("FILES_AUTH") && !missing.contains("abc"), "{missing}");
        let plain = read(&text.replace("env:FILES_AUTH", "Bearer abc"), &[]).unwrap_err().to_string();
        assert!(plain.contains("env:NAME") && !plain.contains("abc"), "{plain}");
    }
}
