//! Where things are: asked of cargo, never of the environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process;

/// The folders that the chores work in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo where the workspace and its target folder are.
    pub(crate) fn find() -> Result<Self, String> {
        let metadata = metadata(Path::new(env!("CARGO_MANIFEST_DIR")), &["--no-deps"])?;
        let folder = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .ok_or_else(|| format!("cargo metadata has no `{name}`"))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path inside the target folder.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.target.join(relative)
    }

    /// A command that starts in the workspace's root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// What cargo knows about every package of the lock file.
    pub(crate) fn packages(&self) -> Result<Vec<Value>, String> {
        match metadata(&self.root, &["--locked"])?.get_mut("packages").map(Value::take) {
            Some(Value::Array(packages)) => Ok(packages),
            _ => Err("cargo metadata has no `packages`".to_owned()),
        }
    }
}

fn metadata(folder: &Path, options: &[&str]) -> Result<Value, String> {
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(["metadata", "--format-version", "1"]).args(options);
    let text = process::output(&mut command)?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata answered no JSON: {error}"))
}
