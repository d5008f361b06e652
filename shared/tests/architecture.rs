//! The arrows between modules and crates, read from the sources: a wrong one fails here, whoever wrote it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "helpers of tests panic as tests do")]

#[path = "architecture/sources.rs"]
mod sources;

use std::{collections::BTreeSet, fs};

use sources::{Source, root, under};

/// Each module of `shared`, and the modules that it may name.
const ARROWS: [(&str, &[&str]); 11] = [
    ("domain", &["domain"]),
    ("ports", &["ports", "domain"]),
    ("app", &["app", "ports", "domain"]),
    ("adapters", &["adapters", "ports", "domain"]),
    ("http", &["http", "app", "ports", "domain"]),
    ("lambda", &["lambda", "http", "app"]),
    ("config", &["config", "domain"]),
    ("wiring", &["wiring", "adapters", "app", "ports", "domain", "config"]),
    ("telemetry", &[]),
    ("contract", &["contract", "ports", "domain"]),
    ("testing", &["testing", "app", "ports", "domain"]),
];

/// What has no place in pure code: waiting, the network, files, the clock, the environment, randomness, logs.
const IMPURE_WORDS: [&str; 17] = [
    "async",
    "await",
    "tokio",
    "reqwest",
    "hyper",
    "rustls",
    "axum",
    "rusqlite",
    "ring",
    "rand",
    "getrandom",
    "tracing",
    "SystemTime",
    "Instant",
    "now_utc",
    "now_local",
    "unsafe",
];
const IMPURE_STD: [&str; 6] = ["env", "fs", "io", "process", "thread", "os"];

/// What `app` never names, since it knows no HTTP and no vendor.
const VENDOR_WORDS: [&str; 12] = [
    "axum",
    "http",
    "hyper",
    "reqwest",
    "rustls",
    "rusqlite",
    "lambda_http",
    "aws_sdk_dynamodb",
    "aws_sdk_kms",
    "aws_sdk_s3",
    "aws_sdk_sqs",
    "lambda_runtime",
];

/// What adapters of different folders may share.
const SHARED_BY_ADAPTERS: [&str; 2] = ["secret_file", "v4"];

const MAX_LINES: usize = 400;
/// Files that are longer and still to be split. No new name comes in here.
const STILL_TOO_LONG: [&str; 0] = [];

fn sources_of_shared() -> Vec<Source> {
    under("shared/src").into_iter().filter(|source| !source.path.ends_with("/tests.rs")).collect()
}

fn layer(source: &Source) -> &str {
    source.module.first().map_or("", String::as_str)
}

fn names(source: &Source, forbidden: &[&str]) -> Vec<String> {
    let words = source.words();
    let named = forbidden.iter().filter(|word| words.contains(**word));
    named.map(|word| format!("{}: names `{word}`", source.path)).collect()
}

/// The modules of `shared` that a source names, as parts after the crate's root.
fn of_shared<'a>(paths: &'a [Vec<String>], krate: &'a str) -> impl Iterator<Item = &'a [String]> {
    paths.iter().filter(move |path| path[0] == krate).map(|path| &path[1..])
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "wrong arrows:\n{}", wrong.join("\n"));
}

#[test]
fn each_module_of_shared_names_only_what_its_arrows_reach() {
    let mut wrong = Vec::new();
    for source in sources_of_shared().iter().filter(|source| !source.module.is_empty()) {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == layer(source))
            .unwrap_or_else(|| panic!("`{}` has no arrows yet: say in ARROWS what it may name", source.path));
        let paths = source.paths();
        for named in of_shared(&paths, "crate").filter_map(<[String]>::first) {
            // What is no module is an exported macro, whose home is the crate's root.
            let module = ARROWS.iter().any(|(name, _)| name == named);
            if module && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: `{}` names `{named}`", source.path, layer(source)));
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_domain_is_pure() {
    let domain: Vec<_> = sources_of_shared().into_iter().filter(|source| layer(source) == "domain").collect();
    assert!(domain.len() > 10, "the domain was not found");
    let mut wrong = Vec::new();
    for source in domain.iter().chain(&under("decision/src")) {
        // `decision` signs and verifies with `ring`, and makes keys with its generator.
        let crypto = ["ring", "rand"].as_slice();
        let allowed = if layer(source) == "domain" { &[] } else { crypto };
        let words: Vec<_> = IMPURE_WORDS.into_iter().filter(|word| !allowed.contains(word)).collect();
        wrong.extend(names(source, &words));
        for path in source.paths().iter().filter(|path| path[0] == "std") {
            if path.get(1).is_some_and(|part| IMPURE_STD.contains(&part.as_str())) {
                wrong.push(format!("{}: names `{}`", source.path, path.join("::")));
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_use_cases_know_no_http_and_no_vendor() {
    let app: Vec<_> = sources_of_shared().into_iter().filter(|source| layer(source) == "app").collect();
    assert!(app.len() > 10, "the use cases were not found");
    none(&app.iter().flat_map(|source| names(source, &VENDOR_WORDS)).collect::<Vec<_>>());
}

#[test]
fn adapters_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for source in sources_of_shared().iter().filter(|source| layer(source) == "adapters") {
        let Some(own) = source.module.get(1) else { continue };
        let paths = source.paths();
        for named in
            of_shared(&paths, "crate").filter(|path| path.first().is_some_and(|part| part == "adapters"))
        {
            let other = named.get(1).filter(|part| *part != own);
            if other.is_some_and(|part| !SHARED_BY_ADAPTERS.contains(&part.as_str())) {
                wrong.push(format!("{}: names `{}`", source.path, named.join("::")));
            }
        }
    }
    none(&wrong);
}

#[test]
fn only_the_configuration_reads_the_environment_and_only_one_adapter_the_clock() {
    let mut wrong = Vec::new();
    let ours = ["shared/src", "functions", "client/src", "decision/src"];
    for source in ours.iter().flat_map(|folder| under(folder)) {
        let paths = source.paths();
        let environment =
            |path: &&Vec<String>| path[0] == "std" && path.get(1).is_some_and(|part| part == "env");
        // How a program is linked is no part of it.
        let allowed = ["shared/src/config.rs", "functions/build.rs"];
        if !allowed.contains(&source.path.as_str()) && paths.iter().any(|path| environment(&path)) {
            wrong.push(format!("{}: reads the environment", source.path));
        }
        let clocks = ["shared/src/adapters/clock.rs", "client/src/clock.rs"];
        if source.words().contains("SystemTime") && !clocks.contains(&source.path.as_str()) {
            wrong.push(format!("{}: reads the clock", source.path));
        }
    }
    none(&wrong);
}

#[test]
fn a_function_names_no_adapter_and_no_wiring() {
    let mut wrong = Vec::new();
    for source in under("functions").iter().filter(|source| !source.path.ends_with("/main.rs")) {
        let paths = source.paths();
        for named in of_shared(&paths, "shared").filter_map(<[String]>::first) {
            if !["http", "app", "ports", "domain"].contains(&named.as_str()) {
                wrong.push(format!("{}: names `shared::{named}`", source.path));
            }
        }
    }
    none(&wrong);
}

/// The folders of the functions; beside them is how they are built.
fn functions() -> Vec<String> {
    let entries = fs::read_dir(root().join("functions")).unwrap().map(|entry| entry.unwrap());
    let crates = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    let names: Vec<_> = crates.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    names
}

#[test]
fn a_function_is_a_router_and_a_short_way_to_start_it() {
    for name in functions() {
        let folder = root().join("functions").join(name).join("src");
        let library = fs::read_to_string(folder.join("lib.rs")).unwrap();
        // `verify` is asked by queues and schedules, never over HTTP.
        let entrance = if folder.ends_with("verify/src") {
            "pub async fn handle(ports: &Ports, event: Value)"
        } else {
            "pub fn router(ports: Ports) -> Router"
        };
        assert!(library.contains(entrance), "{} has no `{entrance}`", folder.display());
        let lines = fs::read_to_string(folder.join("main.rs")).unwrap().lines().count();
        assert!(
            lines <= 20,
            "{}/main.rs has {lines} lines: what it starts belongs into the library",
            folder.display()
        );
    }
}

/// The packages of this workspace that a package depends on, for tests or not.
fn own_dependencies(package: &str) -> BTreeSet<String> {
    let own: BTreeSet<String> = section("Cargo.toml", "workspace.dependencies")
        .into_iter()
        .filter(|(_, value)| value.contains("path = "))
        .map(|(name, _)| name)
        .collect();
    assert!(own.contains("decision") && own.contains("shared"), "{own:?}");
    let manifest = format!("{package}/Cargo.toml");
    let all = ["dependencies", "dev-dependencies", "build-dependencies"];
    let named = all.iter().flat_map(|kind| section(&manifest, kind)).map(|(name, _)| name);
    named.filter(|name| own.contains(name)).collect()
}

/// The lines of one section of a manifest, as names and values.
fn section(manifest: &str, wanted: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let lines = text.lines().skip_while(|line| *line != format!("[{wanted}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.trim().trim_end_matches(".workspace").to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_crates_depend_on_each_other_one_way() {
    let only = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(own_dependencies("decision"), only(&[]));
    assert_eq!(own_dependencies("client"), only(&["decision"]));
    assert_eq!(
        own_dependencies("shared"),
        only(&["decision", "shared"]),
        "itself with the feature `testing`"
    );
    for name in functions() {
        let own = own_dependencies(&format!("functions/{name}"));
        assert!(own.is_subset(&only(&["decision", "shared"])), "{name}: {own:?}");
    }
}

#[test]
fn every_decision_record_is_numbered_dated_accepted_and_on_the_map() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut files: Vec<String> = fs::read_dir(root().join("docs/adr"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for (number, file) in (1..).zip(&files) {
        assert!(file.starts_with(&format!("{number:04}-")), "{file} is not number {number}");
        assert!(map.contains(&format!("(adr/{file})")), "docs/architecture.md does not list {file}");
        let text = fs::read_to_string(root().join("docs/adr").join(file)).unwrap();
        for part in
            ["\nDate: ", "\nStatus: ", "\n## Context", "\n## Options", "\n## Outcome", "\n## Consequences"]
        {
            assert!(text.contains(part), "{file} has no `{}`", part.trim());
        }
    }
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let folders = ["decision", "client", "shared", "functions", "cli", "tests", "xtask"];
    for source in folders.iter().flat_map(|folder| under(folder)) {
        let for_tests = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
        let listed = STILL_TOO_LONG.contains(&source.path.as_str());
        let fits = source.lines <= MAX_LINES;
        assert!(fits || for_tests || listed, "{} has {} lines: it is two files", source.path, source.lines);
        assert!(!fits || !listed, "{} is short enough now: take it off STILL_TOO_LONG", source.path);
    }
}

fn text_of(paths: &[Vec<String>]) -> Vec<String> {
    paths.iter().map(|path| path.join("::")).collect()
}

#[test]
fn a_path_is_seen_in_every_spelling() {
    let spread =
        sources::paths("use a::{b, c::{self, d as e}, f::*}; let x = g::h::<i::J>::k(); r#type::l();");
    let wanted = ["a::b", "a::c", "a::c::d", "a::f::*", "g::h", "i::J", "type::l"];
    assert_eq!(text_of(&spread), wanted);
    let module = vec!["domain".to_owned(), "decide".to_owned()];
    let code = "use super::version; use self::run; use super::super::app::store; fn f(x: &crate::http::X) {}";
    let source = Source { path: "x".into(), module, lines: 1, code: code.into() };
    let wanted =
        ["crate::domain::version", "crate::domain::decide::run", "crate::app::store", "crate::http::X"];
    assert_eq!(text_of(&source.paths()), wanted);
}

#[test]
fn comments_texts_and_unit_tests_are_not_code() {
    let text = concat!(
        "//! use axum::A;\n/* use axum::B; /* */ */ let a = \"axum::C \\\" axum::D\"; let b = '\"'; fn c<'a>() {}\n",
        "let d = r#\"axum::E \" \"#; let e = b'\\''; use own::F;\n#[cfg(test)]\nmod tests { use axum::G; }\nuse own::H;\n",
        "#[cfg(test)]\nmod more;\nuse own::I;",
    );
    let code = sources::without_tests(&sources::bare(text));
    assert_eq!(text_of(&sources::paths(&code)), ["own::F", "own::H", "own::I"]);
}
