//! What the library brings into an application, as cargo counts it for the system that the test runs on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How many crates there are at most, this one and `decision` included. The documentation of the crate says so too.
const MOST: usize = 110;

/// What has no place in an updater: a second TLS with C code of its own, what only servers need, the cloud's libraries.
const NEVER: [&str; 14] = [
    "aws-",
    "axum",
    "bindgen",
    "boring",
    "cmake",
    "google-cloud-",
    "lambda",
    "native-tls",
    "openssl",
    "rusqlite",
    "s2n",
    "sqlx",
    "tonic",
    "vcpkg",
];

/// A crate of the tree.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dependency {
    name: String,
    version: String,
    /// Whether it is of this workspace.
    is_own: bool,
}

/// Everything that is compiled into an application, procedural macros included, with all features.
fn tree() -> BTreeSet<Dependency> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let asked = ["tree", "--edges", "normal", "--prefix", "none", "--all-features", "--locked", "--offline"];
    let output =
        Command::new(env!("CARGO")).args(asked).arg("--manifest-path").arg(manifest).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(dependency).collect()
}

/// Reads `name vVERSION`, behind which stand a place in parentheses for crates of the workspace, and marks.
fn dependency(line: &str) -> Dependency {
    let mut words = line.split(' ');
    let (Some(name), Some(version)) = (words.next(), words.next()) else { panic!("no crate: {line}") };
    let is_own = words.any(|word| word.contains(['/', '\\']));
    Dependency { name: name.to_owned(), version: version.to_owned(), is_own }
}

#[test]
fn an_application_gets_at_most_as_many_crates_as_the_documentation_says() {
    let tree = tree();
    assert!(tree.len() > 50, "the tree was not read: {tree:?}");
    assert!(tree.len() <= MOST, "{} crates: {tree:?}", tree.len());
    let documentation = include_str!("../src/lib.rs");
    assert!(
        documentation.contains(&format!("at most {MOST} crates")),
        "the documentation says another number"
    );
}

#[test]
fn an_application_gets_nothing_of_the_server_and_no_second_tls() {
    let tree = tree();
    let own: Vec<&str> = tree.iter().filter(|found| found.is_own).map(|found| found.name.as_str()).collect();
    assert_eq!(own, ["client", "decision"]);
    let names = tree.iter().map(|found| found.name.as_str());
    // `openssl-probe` has no code of OpenSSL: it knows where systems keep their certificates.
    let wrong: Vec<&str> = names
        .filter(|name| *name != "openssl-probe" && NEVER.iter().any(|never| name.starts_with(never)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for needed in ["rustls", "ring", "reqwest"] {
        assert!(
            tree.iter().any(|found| found.name == needed),
            "{needed} is not there: the tree was not read"
        );
    }
}
