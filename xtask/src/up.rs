//! The servers that `cargo xtask aws up` keeps running, and how `cargo xtask aws down` ends them from another terminal.
//!
//! `up` holds the lock of a file for as long as it runs, however it ends, and looks for another file, by which it is asked
//! to end. So nobody signals a process by a number that may be somebody else's by then.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// That servers are up: others cannot be begun meanwhile.
#[derive(Debug)]
pub(crate) struct Up {
    asked: PathBuf,
    _held: File,
}

fn files(folder: &Path) -> Result<(File, PathBuf), String> {
    let failed = |error: std::io::Error| format!("cannot use {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let held = File::options().create(true).append(true).open(folder.join("aws-up.lock"));
    Ok((held.map_err(failed)?, folder.join("aws-up.end")))
}

/// Whether the lock could be had.
fn free(file: &File) -> Result<bool, String> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock a file: {error}")),
    }
}

impl Up {
    /// Notes in a folder that servers are about to be up.
    pub(crate) fn begin(folder: &Path) -> Result<Self, String> {
        let (held, asked) = files(folder)?;
        if !free(&held)? {
            return Err("the servers are up already: `cargo xtask aws down` ends them".to_owned());
        }
        // Somebody may have asked when nobody was there to hear it.
        _ = fs::remove_file(&asked);
        Ok(Self { asked, _held: held })
    }

    /// Whether somebody has asked them to end.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.asked.exists()
    }
}

/// Ends the servers that an `up` with this folder keeps running, and waits until they have ended; true where there were any.
pub(crate) fn down(folder: &Path) -> Result<bool, String> {
    let (held, asked) = files(folder)?;
    if free(&held)? {
        return Ok(false);
    }
    fs::write(&asked, "").map_err(|error| format!("cannot write {}: {error}", asked.display()))?;
    held.lock().map_err(|error| format!("cannot lock a file: {error}"))?;
    _ = fs::remove_file(&asked);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("bp-xtask-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_is_up_is_asked_to_end_and_waited_for() {
        let folder = folder("up");
        let up = Up::begin(&folder).unwrap();
        assert!(!up.is_asked_to_end());
        assert!(Up::begin(&folder).unwrap_err().contains("already"));
        let asking = std::thread::spawn({
            let folder = folder.clone();
            move || down(&folder)
        });
        while !up.is_asked_to_end() {
            std::thread::yield_now();
        }
        assert!(!asking.is_finished(), "it waits");
        drop(up);
        assert_eq!(asking.join().unwrap(), Ok(true));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn where_nothing_is_up_nothing_is_ended_and_an_old_request_ends_nobody() {
        let folder = folder("nothing");
        assert_eq!(down(&folder), Ok(false));
        fs::write(folder.join("aws-up.end"), "").unwrap();
        let up = Up::begin(&folder).unwrap();
        assert!(!up.is_asked_to_end());
        drop(up);
        assert_eq!(down(&folder), Ok(false));
        fs::remove_dir_all(folder).unwrap();
    }
}
