//! What an updater remembers between runs: the newest `(epoch, seq)` it has accepted, and the keyset it has come to.
//!
//! One file, `state.json`, in a folder that the application names: a line with the SHA-256 of what follows, then JSON.
//! It is written beside and renamed, under a lock, and no number in it ever falls. A file that is damaged is an error:
//! to begin afresh would let a replayed decision pass.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use decision::verify::Stored;
use ring::digest;
use serde::{Deserialize, Serialize};

/// What the first line begins with.
const MAGIC: &str = "bigpicture-client-state 1 ";
/// More than any state.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is damaged, or was written by something else.
    #[error(
        "the updater's state `{}` is damaged ({why}): put a copy of it back, or delete it if nobody can have had a \
         reason to damage it; without it an older decision is accepted once more",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The folder or a file in it cannot be used.
    #[error("the updater's state `{}` cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The folder with the state.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder(PathBuf);

/// What is remembered, by issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    deployments: BTreeMap<String, Deployment>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyset: Option<StoredKeyset>,
    #[serde(default)]
    seen: Vec<Seen>,
}

/// A signed keyset, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeyset {
    version: u64,
    file: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    product_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    epoch: u64,
    seq: u64,
}

/// Whose decisions a pair is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) issuer: String,
    pub(crate) product_id: String,
    pub(crate) tenant_id: Option<String>,
}

impl State {
    /// The newest pair that was accepted for this scope.
    pub(crate) fn stored(&self, scope: &Scope) -> Option<Stored> {
        let seen = &self.deployments.get(&scope.issuer)?.seen;
        let found = seen.iter().find(|seen| seen.is_about(scope))?;
        Some(Stored { epoch: found.epoch, seq: found.seq })
    }

    /// The signed keyset that was reached for this issuer.
    pub(crate) fn keyset(&self, issuer: &str) -> Option<&str> {
        Some(&self.deployments.get(issuer)?.keyset.as_ref()?.file)
    }

    /// Remembers a pair, unless a newer one is there.
    pub(crate) fn remember(&mut self, scope: &Scope, pair: Stored) {
        let seen = &mut self.deployments.entry(scope.issuer.clone()).or_default().seen;
        match seen.iter_mut().find(|seen| seen.is_about(scope)) {
            Some(found) if (Stored { epoch: found.epoch, seq: found.seq }) < pair => {
                (found.epoch, found.seq) = (pair.epoch, pair.seq);
            }
            Some(_) => {}
            None => seen.push(Seen {
                product_id: scope.product_id.clone(),
                tenant_id: scope.tenant_id.clone(),
                epoch: pair.epoch,
                seq: pair.seq,
            }),
        }
    }

    /// Remembers a signed keyset, unless a newer one is there.
    pub(crate) fn remember_keyset(&mut self, issuer: &str, version: u64, file: &str) {
        let place = &mut self.deployments.entry(issuer.to_owned()).or_default().keyset;
        if place.as_ref().is_none_or(|stored| stored.version < version) {
            *place = Some(StoredKeyset { version, file: file.to_owned() });
        }
    }
}

impl Seen {
    fn is_about(&self, scope: &Scope) -> bool {
        self.product_id == scope.product_id && self.tenant_id == scope.tenant_id
    }
}

impl StateFolder {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The file, for messages.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("state.json")
    }

    /// What is remembered; nothing where there is no file yet.
    pub(crate) fn load(&self) -> Result<State, StateError> {
        let path = self.file();
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(source) => return Err(StateError::File { path, source }),
            Ok(found) if found.len() > MAX_BYTES => {
                return Err(self.damaged(&format!("it has {} bytes", found.len())));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(|source| StateError::File { path, source })?;
        read(&bytes).map_err(|why| self.damaged(&why))
    }

    pub(crate) fn damaged(&self, why: &str) -> StateError {
        StateError::Damaged { path: self.file(), why: why.to_owned() }
    }

    /// Changes what is remembered: reads, changes and writes under a lock, so that no two updaters undo each other.
    ///
    /// When it returns, the change survives a power cut.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) -> Result<State, StateError> {
        let failed = |source| StateError::File { path: self.file(), source };
        make_folder(&self.0).map_err(failed)?;
        let lock = options().create(true).truncate(false).open(self.0.join("state.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let before = self.load()?;
        let mut state = before.clone();
        change(&mut state);
        if state != before {
            self.write(&state).map_err(failed)?;
        }
        Ok(state)
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let json = serde_json::to_string_pretty(state)?;
        let aside = self.0.join("state.new");
        let mut file = options().create(true).truncate(true).open(&aside)?;
        file.write_all(format!("{MAGIC}{}\n{json}", sha256(json.as_bytes())).as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, self.file())?;
        sync_folder(&self.0)
    }
}

fn read(bytes: &[u8]) -> Result<State, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
    let (head, json) = text.split_once('\n').ok_or("its first line has no end")?;
    let digest = head.strip_prefix(MAGIC).ok_or("its first line is not of this format")?;
    if sha256(json.as_bytes()) != digest {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn sha256(bytes: &[u8]) -> String {
    crate::download::hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// For files that are the updater's alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes a rename in this folder survive a power cut. Windows has no such call, and needs none.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
