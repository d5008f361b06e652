//! The documents keep up with the code: every promise names a test that exists, every setting is on its page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A promise of the page: its sentence, and the tests that it names as file and function.
struct Promise {
    sentence: String,
    tests: Vec<(String, String)>,
}

fn promises() -> Vec<Promise> {
    read("docs/semantics.md").lines().filter_map(|line| line.strip_prefix("- ")).map(promise).collect()
}

fn promise(line: &str) -> Promise {
    let split = line.rsplit_once(" (test: ").or_else(|| line.rsplit_once(" (tests: "));
    let (sentence, tests) = split.unwrap_or_else(|| panic!("no test is named: {line}"));
    let named =
        tests.strip_suffix(')').unwrap_or_else(|| panic!("something stands behind the tests: {line}"));
    let test = |text: &str| {
        let text = text.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
        let (file, name) =
            text.and_then(|text| text.split_once("::")).unwrap_or_else(|| panic!("no test: {line}"));
        (file.to_owned(), name.to_owned())
    };
    Promise { sentence: sentence.to_owned(), tests: named.split(", ").map(test).collect() }
}

/// Whether the source has a function of this name that the test runner runs.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(place) = lines.iter().position(|line| line.contains(&format!("fn {name}("))) else {
        return false;
    };
    let attributes = lines.iter().take(place).rev().take_while(|line| !line.is_empty() && **line != "}");
    let attributes: Vec<_> = attributes.collect();
    let is = |start: &str| attributes.iter().any(|line| line.starts_with(start));
    (is("#[test]") || is("#[tokio::test")) && !is("#[ignore")
}

/// Where the promises of a port are listed to be run over its adapters.
fn list_of(contract: &str) -> Option<String> {
    match contract.strip_prefix("shared/src/contract/")? {
        "items.rs" => Some(read("shared/tests/items.rs")),
        "large_objects.rs" => Some(read("shared/src/contract/large_objects.rs")),
        file if file.starts_with("objects") => Some(read("shared/src/contract/objects.rs")),
        other => panic!("nobody says where the promises of contract/{other} are run"),
    }
}

fn exists(file: &str, name: &str) -> bool {
    let source = read(file);
    let Some(list) = list_of(file) else { return has_test(&source, name) };
    let listed = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == name)
    };
    source.contains(&format!("pub async fn {name}(")) && list.lines().any(listed)
}

#[test]
fn every_promise_names_a_test_that_is_run() {
    let promises = promises();
    assert!(promises.len() > 80, "the page was not read");
    let missing: Vec<_> = promises
        .iter()
        .flat_map(|promise| &promise.tests)
        .filter(|(file, name)| !exists(file, name))
        .map(|(file, name)| format!("{file}::{name}"))
        .collect();
    assert!(missing.is_empty(), "docs/semantics.md names tests that are not there:\n{}", missing.join("\n"));
}

#[test]
fn every_promise_is_one_sentence_and_made_once() {
    let mut seen = BTreeSet::new();
    for promise in promises() {
        assert!(promise.sentence.ends_with('.'), "no sentence: {}", promise.sentence);
        assert!(!promise.sentence.contains(". "), "more than one sentence: {}", promise.sentence);
        assert!(seen.insert(promise.sentence.clone()), "twice: {}", promise.sentence);
    }
}

#[test]
fn every_part_of_the_service_has_promises() {
    let page = read("docs/semantics.md");
    for part in [
        "Decisions",
        "Uploads",
        "Artifacts",
        "Releases",
        "Policies",
        "Tokens",
        "Audit",
        "Signatures",
        "Crashes",
    ] {
        let (_, rest) =
            page.split_once(&format!("\n## {part}\n")).unwrap_or_else(|| panic!("no part on {part}"));
        let part_of_page = rest.split("\n## ").next().unwrap();
        assert!(part_of_page.contains("\n- "), "no promise on {part}");
    }
}

#[test]
fn a_name_in_a_comment_or_without_an_attribute_is_no_test() {
    let source = "#[test]\nfn a_claim() {\n}\n\n// fn said_only(\nfn helper() {\n}\n\n#[tokio::test]\n#[ignore = \"x\"]\nasync fn idle() {}";
    assert!(has_test(source, "a_claim"));
    assert!(!has_test(source, "said_only") && !has_test(source, "helper") && !has_test(source, "idle"));
    assert!(!has_test(source, "claim") && !has_test(source, "a_clai"));
}

/// The dotted keys that the configuration reads, as far as they stand in its code as texts.
fn keys() -> BTreeSet<String> {
    let files =
        ["config", "config/places", "config/signing"].map(|name| read(&format!("shared/src/{name}.rs")));
    let code: String = files.iter().map(|file| file.split("#[cfg(test)]").next().unwrap()).collect();
    let calls = [".url(", ".path(", ".text(", ".word(", ".whole(", ".whole_option(", ".flag(", ".ports("];
    let text = |rest: &str| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned);
    let texts = calls.iter().flat_map(|call| code.split(call).skip(1));
    // A bucket is read in the same way wherever it is.
    let bucket = read("shared/src/config/bucket.rs");
    let members: BTreeSet<String> = bucket.split("&key(").skip(1).filter_map(text).collect();
    let of_section = |section| members.iter().map(move |member| format!("storage.{section}.{member}"));
    texts.filter_map(text).chain(["s3", "minio"].into_iter().flat_map(of_section)).collect()
}

#[test]
fn every_setting_is_documented_with_its_variable() {
    let page = read("docs/configuration.md");
    let keys = keys();
    assert!(
        keys.contains("base_url") && keys.contains("signing.local.algorithm") && keys.len() > 15,
        "{keys:?}"
    );
    for key in keys {
        let variable = format!("BP_{}", key.replace('.', "__").to_uppercase());
        let row = page.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row for `{key}`"));
        assert!(
            row.ends_with(&format!("| `{variable}` |")),
            "the row of `{key}` does not end with `{variable}`"
        );
    }
}
