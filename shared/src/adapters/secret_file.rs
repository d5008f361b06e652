//! Files with secrets: readable by their owner alone, and there whole or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Writes a secret beside its place, with mode 0600, and renames it there, so that a crash leaves no half of it.
///
/// # Errors
/// Those of the file system.
pub fn create(path: &Path, secret: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::File::open(folder)?.sync_all()
}

/// Reads a secret, unless others than its owner can read it too.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] for a file that others can read, and those of the file system.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("others can read it (mode {mode:o}): run `chmod 600 {}`", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    fs::read(path)
}
