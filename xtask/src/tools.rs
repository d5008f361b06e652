//! The tools of other languages that the tests and lints use, under `target/tools`, each with a pinned version.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;
use crate::workspace::Workspace;

/// What was prepared.
#[derive(Debug)]
pub(crate) struct Tools {
    /// A Python virtual environment with what `tests/python/requirements.txt` names.
    pub(crate) venv: PathBuf,
    /// A folder with the `node_modules` of `tests/js`, where this machine has Node.js.
    pub(crate) javascript: Option<PathBuf>,
}

impl Tools {
    /// A program of the virtual environment.
    pub(crate) fn python_program(&self, name: &str) -> PathBuf {
        python_program(&self.venv, name)
    }
}

/// A program of a virtual environment.
pub(crate) fn python_program(venv: &Path, name: &str) -> PathBuf {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    venv.join(folder).join(name)
}

/// Prepares every tool, or finds it prepared by an earlier run.
pub(crate) fn prepare(workspace: &Workspace) -> Result<Tools, String> {
    let venv = venv(workspace, "venv", "tests/python/requirements.txt")?;
    Ok(Tools { venv, javascript: javascript(workspace)? })
}

/// Prepares a virtual environment with what a file of requirements names.
pub(crate) fn venv(workspace: &Workspace, name: &str, requirements: &str) -> Result<PathBuf, String> {
    let venv = workspace.target("tools").join(name);
    let requirements = workspace.path(requirements);
    let wanted = read(&requirements)?;
    let stamp = venv.join("prepared.txt");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(venv);
    }
    let python = ["python3", "python"]
        .into_iter()
        .find(|name| process::exists(name))
        .ok_or("the tests need Python 3 with its `venv` module: install `python3` and `python3-venv`")?;
    println!("preparing {}", venv.display());
    process::run(workspace.command(python).args(["-m", "venv", "--clear"]).arg(&venv))?;
    process::patiently(|| {
        process::run(
            workspace
                .command(python_program(&venv, "python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
        )
    })?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(venv)
}

fn javascript(workspace: &Workspace) -> Result<Option<PathBuf>, String> {
    if !process::exists("node") || !process::exists("npm") {
        return Ok(None);
    }
    let folder = workspace.target("tools/js");
    let stamp = folder.join("prepared.json");
    let wanted = read(&workspace.path("tests/js/package-lock.json"))?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Some(folder));
    }
    println!("preparing {}", folder.display());
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(workspace.path("tests/js").join(name), folder.join(name))
            .map_err(|error| format!("cannot copy {name}: {error}"))?;
    }
    process::patiently(|| {
        process::run(
            workspace
                .command("npm")
                .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
                .current_dir(&folder),
        )
    })?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(Some(folder))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Installs a program from the registry of crates under `target/tools`, unoptimised and with these features alone, unless
/// that version is there already.
pub(crate) fn cargo_tool(
    workspace: &Workspace,
    name: &str,
    version: &str,
    features: &str,
) -> Result<PathBuf, String> {
    let root = workspace.target("tools").join(format!("{name}-{version}"));
    let program = root.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        println!("installing {name} {version}");
        let build = workspace.target("tools/build");
        process::patiently(|| {
            process::run(
                workspace
                    .command("cargo")
                    .args(["install", "--quiet", "--locked", "--debug", "--no-default-features"])
                    .args(["--features", features, name, "--version", version, "--root"])
                    .arg(&root)
                    .arg("--target-dir")
                    .arg(&build)
                    .env("CARGO_PROFILE_DEV_DEBUG", "0"),
            )
        })?;
        // Hundreds of megabytes that nobody reads again.
        fs::remove_dir_all(&build).map_err(|error| format!("cannot remove {}: {error}", build.display()))?;
    }
    Ok(program)
}
