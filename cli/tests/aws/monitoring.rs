//! The alarms count lines by their `event`: words that the functions say, and no others.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    path,
    privileges::{code, rust_files},
    text,
};

/// The words that filters of `infra/monitoring.yaml` count.
fn counted() -> BTreeSet<String> {
    let whole: Value = serde_saphyr::from_str(&text("infra/monitoring.yaml")).unwrap();
    let patterns = whole["Resources"].as_object().unwrap().values();
    let patterns = patterns.filter_map(|resource| resource["Properties"]["FilterPattern"].as_str());
    let words = patterns.filter_map(|pattern| pattern.strip_prefix("{ $.event = \"")?.strip_suffix("\" }"));
    words.map(str::to_owned).collect()
}

/// The words that stand behind `event` in the code.
fn said() -> BTreeSet<String> {
    let files = ["shared/src", "functions"].into_iter().flat_map(|folder| rust_files(&path(folder)));
    let code: Vec<String> = files.map(|file| code(&file)).collect();
    let words = code.iter().flat_map(|code| code.split('"').skip(1).step_by(2));
    words.filter(|word| word.contains('_')).map(str::to_owned).collect()
}

#[test]
fn what_is_counted_is_what_the_functions_say() {
    let (counted, said) = (counted(), said());
    assert!(counted.len() > 4, "{counted:?}");
    let unsaid: Vec<_> = counted.difference(&said).collect();
    assert!(unsaid.is_empty(), "nobody says {unsaid:?}");
}
