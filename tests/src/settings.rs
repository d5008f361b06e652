//! What `cargo xtask test` tells the tests: which program to start, and where tools and fixtures lie.

use std::path::PathBuf;

use serde_json::Value;

/// The `bp` program under test: `BP_TEST_BIN`, or the one that cargo built beside the running test.
pub fn program() -> PathBuf {
    let path = read("BP_TEST_BIN").unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
        folder.join(format!("bp{}", std::env::consts::EXE_SUFFIX))
    });
    assert!(
        path.is_file(),
        "no program at {}: run `cargo build --bins` or `cargo xtask test`",
        path.display()
    );
    path
}

/// What the tests run over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stack {
    /// `bp serve`.
    Serve,
    /// The functions under Lambda's emulator.
    Functions,
    /// A deployment that was there before: its address, and a token with every scope.
    Deployed {
        /// The base URL, without a slash at the end.
        base: String,
        /// The token.
        token: String,
    },
}

/// What the tests run over: `BP_TEST_STACK` is `lambda`, `deployed`, or nothing for `bp serve`.
pub fn stack() -> Stack {
    let needed = |name: &str| text(name).unwrap_or_else(|| panic!("{name} is not set"));
    match text("BP_TEST_STACK").as_deref() {
        None => Stack::Serve,
        Some("lambda") => Stack::Functions,
        Some("deployed") => {
            let base = needed("BP_TEST_BASE_URL").trim_end_matches('/').to_owned();
            Stack::Deployed { base, token: needed("BP_TEST_TOKEN") }
        }
        Some(other) => panic!("no stack is called `{other}`"),
    }
}

/// How the functions sign where it is not as deployed: `BP_TEST_SIGNING` is `direct` or `delegated`.
pub fn signing_mode() -> Option<String> {
    text("BP_TEST_SIGNING")
}

/// The release binary of a function: in `BP_TEST_FUNCTIONS`, or in `target/proof`.
pub fn function(name: &str) -> PathBuf {
    let path = prepared("BP_TEST_FUNCTIONS", "proof").join(name);
    assert!(path.is_file(), "no function at {}: run `cargo xtask aws test`", path.display());
    path
}

/// Lambda's runtime interface emulator: `BP_TEST_EMULATOR`.
pub fn emulator() -> PathBuf {
    read("BP_TEST_EMULATOR").expect("BP_TEST_EMULATOR names the emulator: run `cargo xtask aws test`")
}

/// The address of a server that a variable names.
pub fn server(variable: &str) -> String {
    text(variable).unwrap_or_else(|| panic!("set {variable} to the URL of a server"))
}

/// The Python of the prepared virtual environment, or a program beside it.
pub fn python(name: &str) -> PathBuf {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    prepared("BP_TEST_VENV", "tools/venv").join(folder).join(name)
}

/// The folder whose `node_modules` holds what `tests/js` needs.
pub fn javascript() -> PathBuf {
    prepared("BP_TEST_JS", "tools/js")
}

/// The fetched installers: rows of `{"wanted", "file", "sha256"}`, as `target/fixtures/known.json` has them.
pub fn installers(kind: &str) -> Vec<Value> {
    let list = prepared("BP_TEST_FIXTURES", "fixtures").join("known.json");
    let text = std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
    let rows: Vec<Value> = serde_json::from_str(&text).expect("known.json is a list");
    let rows: Vec<Value> = rows.into_iter().filter(|row| row["wanted"]["kind"] == kind).collect();
    assert!(!rows.is_empty(), "{} has no `{kind}`: run `cargo xtask fixtures`", list.display());
    rows
}

/// A file of the checkout.
pub fn checkout(relative: &str) -> PathBuf {
    let root =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("a package in a workspace").to_owned();
    let path = root.join(relative);
    assert!(path.exists(), "the checkout has no {relative}");
    path
}

/// A variable that whoever runs the tests has set.
pub fn variable(name: &str) -> Option<String> {
    text(name)
}

fn prepared(variable: &str, beside: &str) -> PathBuf {
    let path = read(variable).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        test.ancestors().nth(3).expect("tests lie in target/PROFILE/deps").join(beside)
    });
    assert!(path.is_dir(), "nothing prepared at {}: run `cargo xtask test`", path.display());
    path
}

fn text(variable: &str) -> Option<String> {
    read(variable).map(|value| value.into_os_string().into_string().expect("text"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the settings of a test run are no configuration of the service"
)]
fn read(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}
