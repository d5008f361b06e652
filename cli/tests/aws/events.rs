//! The documents of `events/`, and the names that they go by.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::{path, text};

/// What `manage` is asked where nobody has the path: no operation, so its name is its own.
pub(crate) const UNKNOWN_PATH: &str = "manage/default-unknown-path.json";

/// Every file of `events/`, as `function/name.json`.
pub(crate) fn files() -> BTreeSet<String> {
    let folders = fs::read_dir(path("events")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    files
        .map(|file| {
            let file = file.unwrap().path();
            let name = file.strip_prefix(path("events")).unwrap().to_str().unwrap().replace('\\', "/");
            let json = file.is_file() && file.extension().is_some_and(|extension| extension == "json");
            assert!(json, "events/{name} is no JSON document");
            name
        })
        .collect()
}

/// One document.
pub(crate) fn read(name: &str) -> Value {
    serde_json::from_str(&text(&format!("events/{name}"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The file of an operation: `decide/post-v1-decision.json` for `POST /v1/decision`.
pub(crate) fn name_of(function: &str, method: &str, route: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Vec<&str> = route.split(|c| !kept(c)).filter(|word| !word.is_empty()).collect();
    format!("{function}/{}-{}.json", method.to_ascii_lowercase(), words.join("-"))
}
