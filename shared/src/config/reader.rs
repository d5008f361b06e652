//! Reading values out of the configuration while gathering everything that is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::PathBuf,
};

use serde_json::Value;

use super::{Repository, RepositoryKind, SecretSource};
use crate::domain::{
    external_url::RepositoryPrefix,
    secret::{Secret, SecretReference},
};

/// Reads values by their dotted paths; what was not asked for in the end is unknown.
pub(super) struct Reader<'a> {
    root: Value,
    environment: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(root: Value, environment: &'a BTreeMap<String, String>) -> Self {
        Self { root, environment, problems: Vec::new() }
    }

    /// Takes a value out; null is as good as absent.
    fn take(&mut self, path: &str) -> Option<Value> {
        let (folder, name) =
            path.rsplit_once('.').map_or((None, path), |(folder, name)| (Some(folder), name));
        let mut place = &mut self.root;
        for key in folder.into_iter().flat_map(|folder| folder.split('.')) {
            place = place.as_object_mut()?.get_mut(key)?;
        }
        place.as_object_mut()?.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn problem(&mut self, path: &str, rule: impl std::fmt::Display) {
        self.problems.push(format!("`{path}`: {rule}"));
    }

    /// Leaves a part alone that belongs to a choice which was not made.
    pub(super) fn ignore(&mut self, paths: &[&str]) {
        for path in paths {
            self.take(path);
        }
    }

    pub(super) fn environment(&self) -> &'a BTreeMap<String, String> {
        self.environment
    }

    /// A value that a choice made elsewhere cannot do without.
    pub(super) fn needed(&mut self, path: &str, value: Option<String>) -> Option<String> {
        let value = value.filter(|text| !text.is_empty());
        if value.is_none() {
            self.problem(path, "needed with the chosen `type`");
        }
        value
    }

    /// An environment variable that is not ours alone.
    pub(super) fn variable(&mut self, name: &str) -> Option<String> {
        let value = self.environment.get(name).filter(|text| !text.is_empty()).cloned();
        if value.is_none() {
            self.problem(name, "the environment variable is not set");
        }
        value
    }

    /// The content of the file that an environment variable names, if it does.
    pub(super) fn file_of_variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let path = self.environment.get(name).filter(|path| !path.is_empty())?;
        std::fs::read(path)
            .map_err(|error| self.problem(name, format!("`{path}` cannot be read: {error}")))
            .ok()
    }

    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        match self.take(path)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.problem(path, "expected text");
                None
            }
        }
    }

    pub(super) fn path(&mut self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    /// An `http` or `https` URL without query, without the slash at its end.
    pub(super) fn url(&mut self, path: &str) -> Option<String> {
        let text = self.text(path).filter(|text| !text.is_empty())?;
        match url::Url::parse(&text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none() =>
            {
                Some(text.trim_end_matches('/').to_owned())
            }
            Ok(_) | Err(_) => {
                self.problem(path, "expected a URL such as `https://updates.example.com`");
                None
            }
        }
    }

    pub(super) fn whole(&mut self, path: &str, range: RangeInclusive<i64>, default: i64) -> i64 {
        let Some(value) = self.take(path) else { return default };
        value.as_i64().filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.problem(path, format!("expected a whole number from {} to {}", range.start(), range.end()));
            default
        })
    }

    /// A whole number for which there is no default here.
    pub(super) fn whole_option(&mut self, path: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(path)?;
        let number = value.as_i64().filter(|number| range.contains(number));
        if number.is_none() {
            self.problem(path, format!("expected a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    pub(super) fn flag(&mut self, path: &str, default: bool) -> bool {
        let Some(value) = self.take(path) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.problem(path, "expected `true` or `false`");
            default
        })
    }

    /// One of some words.
    pub(super) fn word(&mut self, path: &str, known: &[&str], default: &str) -> Option<String> {
        let Some(text) = self.text(path) else { return Some(default.to_owned()) };
        if known.contains(&text.as_str()) {
            return Some(text);
        }
        self.problem(path, format!("expected one of: {}", known.join(", ")));
        None
    }

    pub(super) fn ports(&mut self, path: &str) -> Option<BTreeSet<u16>> {
        let value = self.take(path)?;
        let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
        let ports: Option<BTreeSet<u16>> = value.as_array().and_then(|list| list.iter().map(port).collect());
        if ports.is_none() {
            self.problem(path, "expected a list of ports");
        }
        ports
    }

    pub(super) fn repositories(&mut self) -> Vec<Repository> {
        let entries = match self.take("repositories") {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                self.problem("repositories", "expected a list");
                return Vec::new();
            }
        };
        let mut repositories = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let path = format!("repositories[{index}]");
            let mut inner = Reader::new(entry, self.environment);
            let repository = inner.repository();
            self.problems.extend(inner.finish().into_iter().map(|problem| format!("{path}: {problem}")));
            repositories.extend(repository);
        }
        repositories
    }

    fn repository(&mut self) -> Option<Repository> {
        let name = self.text("name");
        let kind = self.word("type", &["https", "s3", "minio", "gcs", "jfrog", "github"], "https");
        let region = self.text("region").filter(|region| !region.is_empty());
        let prefix = self.text("url_prefix");
        let credentials = self.secret("credentials").1;
        let ca_pem = self.file("ca_file");
        let allow_private = self.flag("allow_private", false);
        let products = self.products();
        if name.is_none() || prefix.is_none() {
            self.problem("name, url_prefix", "both are needed");
        }
        let prefix =
            RepositoryPrefix::parse(&prefix?).map_err(|error| self.problem("url_prefix", error)).ok();
        let kind = match kind?.as_str() {
            "s3" | "minio" => RepositoryKind::S3,
            "gcs" => RepositoryKind::Gcs,
            "jfrog" => RepositoryKind::Jfrog,
            "github" => RepositoryKind::GitHub,
            _ => RepositoryKind::Https,
        };
        let url_prefix = prefix?;
        Some(Repository {
            name: name?,
            kind,
            url_prefix,
            credentials,
            region,
            allow_private,
            ca_pem,
            products,
        })
    }

    /// Whether a key refers to a secret, and where it comes from.
    pub(super) fn secret(&mut self, path: &str) -> (bool, Option<SecretSource>) {
        match self.text(path).filter(|text| !text.is_empty()) {
            None => (false, None),
            Some(reference) => (true, self.source(path, &reference)),
        }
    }

    fn source(&mut self, path: &str, reference: &str) -> Option<SecretSource> {
        if let Some(name) = reference.strip_prefix("env:") {
            let value = self.environment.get(name).cloned();
            if value.is_none() {
                self.problem(path, format!("the environment variable `{name}` is not set"));
            }
            return value.map(Secret::new).map(SecretSource::Read);
        }
        if let Some(file) = reference.strip_prefix("file:") {
            return match std::fs::read_to_string(file) {
                Ok(text) => Some(SecretSource::Read(Secret::new(text.trim_end().to_owned()))),
                Err(error) => {
                    self.problem(path, format!("`{file}` cannot be read: {error}"));
                    None
                }
            };
        }
        let kept = SecretReference::parse(reference).map(SecretSource::Kept);
        if kept.is_none() {
            // The text itself may be a secret that was put here by mistake: it is not repeated.
            let rule = "expected a reference: `env:NAME`, `file:PATH`, `secretsmanager:ARN` or `ssm:NAME`";
            self.problem(path, rule);
        }
        kept
    }

    pub(super) fn file(&mut self, path: &str) -> Option<Vec<u8>> {
        let name = self.text(path)?;
        std::fs::read(&name)
            .map_err(|error| self.problem(path, format!("`{name}` cannot be read: {error}")))
            .ok()
    }

    fn products(&mut self) -> Option<Vec<crate::domain::names::ProductId>> {
        let value = self.take("products")?;
        let products: Option<Vec<_>> =
            value.as_array().and_then(|list| list.iter().map(|text| text.as_str()?.parse().ok()).collect());
        if products.is_none() {
            self.problem("products", "expected a list of product ids");
        }
        products
    }

    /// Everything that was wrong, and every key that nobody asked for.
    pub(super) fn finish(mut self) -> Vec<String> {
        let mut unknown = Vec::new();
        leftovers("", &self.root, &mut unknown);
        self.problems.extend(unknown.iter().map(|path| format!("`{path}`: there is no such key")));
        self.problems
    }
}

fn leftovers(path: &str, value: &Value, found: &mut Vec<String>) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Object(inner) if !inner.is_empty() => leftovers(&path, value, found),
            Value::Object(_) | Value::Null => {}
            _ => found.push(path),
        }
    }
}
