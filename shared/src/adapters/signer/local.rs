//! A signing key in a file: PKCS#8 in PEM, readable by its owner alone.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use decision::{
    jwk::{Alg, PublicKey},
    sign::{LocalKey, SignError},
};

use crate::{
    adapters::secret_file,
    ports::signer::{Signer, SignerError},
};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Signs with a key in memory. The key signs in this process, so its signatures are proved once, when it is loaded.
#[derive(Debug)]
pub struct LocalSigner {
    key: LocalKey,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum LocalKeyError {
    /// The file cannot be read or made.
    #[error("the signing key `{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// There is no file, where there has been one.
    #[error(
        "the signing key `{0}` is missing, and clients trust no other: put it back, or, if it is lost, set \
         `signing.take_up_new_key: true` and hand the new keyset to every client"
    )]
    Missing(PathBuf),
    /// The file holds no PKCS#8 key in PEM.
    #[error("`{0}` holds no PKCS#8 private key in PEM (`-----BEGIN PRIVATE KEY-----`)")]
    NotPem(PathBuf),
    /// The key is of no kind that signs decisions.
    #[error("the key cannot sign decisions")]
    Key(#[from] SignError),
    /// The two halves of the key do not belong together.
    #[error("the key's signature does not verify against its own public half")]
    Unproved,
}

impl LocalSigner {
    /// Opens the key; with `make`, one of that kind is made first (mode 0600) where there is no file.
    ///
    /// # Errors
    /// [`LocalKeyError`]
    pub fn open(path: &Path, make: Option<Alg>) -> Result<Self, LocalKeyError> {
        let failed = |source| LocalKeyError::File { path: path.to_owned(), source };
        if !path.try_exists().map_err(failed)? {
            let alg = make.ok_or_else(|| LocalKeyError::Missing(path.to_owned()))?;
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            secret_file::create(path, wrap_pem(&LocalKey::generate(alg)?).as_bytes()).map_err(failed)?;
        }
        let pem = String::from_utf8(secret_file::read(path).map_err(failed)?)
            .map_err(|_| LocalKeyError::NotPem(path.to_owned()))?;
        let der = unwrap_pem(&pem).ok_or_else(|| LocalKeyError::NotPem(path.to_owned()))?;
        let signer = Self { key: LocalKey::from_pkcs8_der(&der)? };
        signer.prove()?;
        Ok(signer)
    }

    fn prove(&self) -> Result<(), LocalKeyError> {
        let message = b"this key signs for the public half that it publishes";
        let signature = self.key.sign(message)?;
        self.key.public().verify(message, &signature).map_err(|_| LocalKeyError::Unproved)
    }
}

/// The key in PEM (RFC 7468).
fn wrap_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n" + END + "\n"
}

fn unwrap_pem(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let text: String = body.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

#[async_trait]
impl Signer for LocalSigner {
    fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError> {
        self.key.sign(signing_input).map_err(|error| SignerError::Unavailable(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[tokio::test]
    async fn a_key_is_made_once_for_its_owner_alone_and_signs_what_verifies() {
        for alg in [Alg::Es256, Alg::EdDsa] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keys/signing.pem");
            let made = LocalSigner::open(&path, Some(alg)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let again = LocalSigner::open(&path, Some(alg)).unwrap();
            assert_eq!(made.public_key(), again.public_key());
            let signature = again.sign(b"message").await.unwrap();
            made.public_key().verify(b"message", &signature).unwrap();
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        LocalSigner::open(&path, Some(Alg::Es256)).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = LocalSigner::open(&path, Some(Alg::Es256)).unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("chmod 600"), "{cause}");
        }
    }

    #[test]
    fn a_key_is_not_made_where_one_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        assert!(matches!(LocalSigner::open(&path, None), Err(LocalKeyError::Missing(_))));
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing.pem");
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(LocalSigner::open(&path, Some(Alg::Es256)).is_err(), "{text}");
        }
    }
}
