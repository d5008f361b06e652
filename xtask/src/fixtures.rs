//! Real installers, fetched from the package registries by their own clients and kept under `target/fixtures`.
//!
//! `known.json` beside them says what each is, with the SHA-256 that the *registry's* metadata gives for it (null where
//! it gives none): a figure that nobody here computed, for the service's own to be compared with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// What was fetched, and which kinds this machine cannot fetch.
#[derive(Debug)]
pub(crate) struct Fixtures {
    pub(crate) folder: PathBuf,
    /// Kind and what to install to have it.
    pub(crate) missing: Vec<(String, &'static str)>,
}

/// One file: where it lies, and the digest that its registry gives.
struct Found {
    file: PathBuf,
    sha256: Option<String>,
}

/// Fetches what is not there yet.
pub(crate) fn fetch(workspace: &Workspace) -> Result<Fixtures, String> {
    let folder = workspace.target("fixtures");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let list = folder.join("known.json");
    let known = json_file(&list).unwrap_or_else(|_| json!([]));
    let manifest = json_file(&workspace.path("tests/fixtures.json"))?;
    let mut fixtures = Fixtures { folder: folder.clone(), missing: Vec::new() };
    let mut rows = Vec::new();
    for wanted in manifest.as_array().ok_or("tests/fixtures.json is no list")? {
        let kind = text(wanted, "kind")?;
        if let Some(install) = lacking(kind) {
            println!("skipped: `{}`, a {kind} fixture; {install}", text(wanted, "name")?);
            fixtures.missing.push((kind.to_owned(), install));
            continue;
        }
        if let Some(row) = earlier(&known, wanted) {
            rows.push(row.clone());
            continue;
        }
        println!("fetching {} ({kind})", text(wanted, "name")?);
        let found = process::patiently(|| match kind {
            "wheel" => wheel(workspace, &folder, wanted),
            "crate" => crate_archive(workspace, wanted),
            "npm" => npm(workspace, &folder, wanted),
            "deb" => deb(workspace, &folder, wanted),
            other => Err(format!("tests/fixtures.json names the unknown kind `{other}`")),
        })?;
        rows.push(json!({"wanted": wanted, "file": found.file, "sha256": found.sha256}));
    }
    let known = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
    fs::write(&list, known).map_err(|error| format!("cannot write {}: {error}", list.display()))?;
    Ok(fixtures)
}

fn earlier<'a>(known: &'a Value, wanted: &Value) -> Option<&'a Value> {
    known.as_array()?.iter().find(|row| {
        row.get("wanted") == Some(wanted) && text(row, "file").is_ok_and(|file| Path::new(file).is_file())
    })
}

fn lacking(kind: &str) -> Option<&'static str> {
    match kind {
        "npm" if !process::exists("npm") => Some("install Node.js with npm (`apt-get install npm`)"),
        "deb" if !process::exists("apt-get") => Some("needs a Debian or Ubuntu machine with apt"),
        "deb" if process::output(&mut apt_show("hello")).is_err() => Some("run `apt-get update` first"),
        _ => None,
    }
}

fn wheel(workspace: &Workspace, folder: &Path, wanted: &Value) -> Result<Found, String> {
    let python = tools::prepare(workspace)?.python_program("python");
    let requirement = format!("{}=={}", text(wanted, "name")?, text(wanted, "version")?);
    let tag = text(wanted, "tag")?;
    let choice = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--platform", tag];
    let report = process::output(
        workspace
            .command(&python)
            .args(["-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"])
            .args(choice)
            .arg("--target")
            .arg(folder)
            .arg(&requirement),
    )?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("pip's report: {error}"))?;
    let at = |pointer: &str| {
        report
            .pointer(pointer)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("pip's report has no `{pointer}`"))
    };
    let sha256 = at("/install/0/download_info/archive_info/hashes/sha256")?.to_owned();
    let url = at("/install/0/download_info/url")?;
    let name = url.rsplit('/').next().unwrap_or(url);
    process::run(
        workspace
            .command(&python)
            .args(["-m", "pip", "download", "--quiet", "--dest"])
            .arg(folder)
            .args(choice)
            .arg(&requirement),
    )?;
    Ok(Found { file: folder.join(name), sha256: Some(sha256) })
}

/// Cargo's own cache holds the archive, and the lock file its checksum.
fn crate_archive(workspace: &Workspace, wanted: &Value) -> Result<Found, String> {
    let name = text(wanted, "name")?;
    let packages = workspace.packages()?;
    let package = packages
        .iter()
        .find(|package| text(package, "name") == Ok(name))
        .ok_or(format!("no dependency is named `{name}`"))?;
    let version = text(package, "version")?;
    // …/registry/src/INDEX/NAME-VERSION/Cargo.toml lies beside …/registry/cache/INDEX/NAME-VERSION.crate.
    let source = Path::new(text(package, "manifest_path")?).parent().ok_or("a manifest without a folder")?;
    let index = source.parent().ok_or("a source folder without an index")?;
    let registry = index.parent().and_then(Path::parent).ok_or("an index without a registry")?;
    let cache = registry.join("cache").join(index.file_name().ok_or("an index without a name")?);
    let file = cache.join(format!("{name}-{version}.crate"));
    if !file.is_file() {
        return Err(format!("cargo's cache has no {}", file.display()));
    }
    let lock =
        fs::read_to_string(workspace.path("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
    let checksum = lock
        .split("[[package]]\n")
        .find(|part| part.starts_with(&entry))
        .and_then(|part| part.lines().find_map(|line| line.strip_prefix("checksum = \"")?.strip_suffix('"')))
        .ok_or(format!("Cargo.lock has no checksum of `{name}`"))?;
    Ok(Found { file, sha256: Some(checksum.to_owned()) })
}

/// npm's metadata has SHA-512 alone, which `npm pack` checks itself.
fn npm(workspace: &Workspace, folder: &Path, wanted: &Value) -> Result<Found, String> {
    let package = format!("{}@{}", text(wanted, "name")?, text(wanted, "version")?);
    let answer = process::output(
        workspace
            .command("npm")
            .args(["pack", "--json", "--loglevel=error", "--pack-destination"])
            .arg(folder)
            .arg(&package),
    )?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("npm's answer: {error}"))?;
    let name = text(answer.get(0).unwrap_or(&Value::Null), "filename")?.replace('@', "").replace('/', "-");
    Ok(Found { file: folder.join(name), sha256: None })
}

fn deb(workspace: &Workspace, folder: &Path, wanted: &Value) -> Result<Found, String> {
    let name = text(wanted, "name")?;
    let show = process::output(&mut apt_show(name))?;
    let field = |label: &str| {
        show.lines()
            .find_map(|line| line.strip_prefix(label))
            .map(str::trim)
            .ok_or(format!("apt-cache shows no `{label}` for `{name}`"))
    };
    let (version, architecture) = (field("Version:")?.replace(':', "%3a"), field("Architecture:")?);
    process::run(workspace.command("apt-get").args(["-qq", "download", name]).current_dir(folder))?;
    let file = folder.join(format!("{name}_{version}_{architecture}.deb"));
    Ok(Found { file, sha256: Some(field("SHA256:")?.to_owned()) })
}

fn apt_show(name: &str) -> std::process::Command {
    let mut command = std::process::Command::new("apt-cache");
    command.args(["--no-all-versions", "show", name]).stderr(std::process::Stdio::null());
    command
}

fn json_file(path: &Path) -> Result<Value, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str, String> {
    value.get(member).and_then(Value::as_str).ok_or_else(|| format!("no `{member}` in {value}"))
}
