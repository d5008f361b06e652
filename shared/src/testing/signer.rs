//! Signing keys of their own for each test: one at hand, and one that is somewhere else, fails on demand and is counted.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use decision::{
    jwk::{Alg, PublicKey},
    sign::LocalKey,
};

use super::gate::Gate;
use crate::ports::signer::{Keys, Signer, SignerError};

fn fresh_key(alg: Alg) -> LocalKey {
    LocalKey::from_pkcs8_der(&LocalKey::generate(alg).unwrap()).unwrap()
}

/// Signs with a fresh P-256 key.
#[derive(Debug)]
pub struct TestSigner(LocalKey);

impl TestSigner {
    /// A signer with a key that was just made.
    pub fn fresh() -> Self {
        Self(fresh_key(Alg::Es256))
    }
}

#[async_trait]
impl Signer for TestSigner {
    fn public_key(&self) -> &PublicKey {
        self.0.public()
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError> {
        self.0.sign(signing_input).map_err(|error| SignerError::Unavailable(error.into()))
    }
}

/// A key somewhere else: every call is counted, and it can be out of reach, lie, or keep a caller waiting.
#[derive(Debug)]
pub struct RemoteKey {
    key: LocalKey,
    opened: AtomicUsize,
    signed: AtomicUsize,
    down: AtomicBool,
    lies: AtomicBool,
    gate: Mutex<Option<Gate>>,
}

impl RemoteKey {
    /// A key that was just made, within reach.
    pub fn fresh(alg: Alg) -> Arc<Self> {
        Arc::new(Self {
            key: fresh_key(alg),
            opened: AtomicUsize::new(0),
            signed: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            lies: AtomicBool::new(false),
            gate: Mutex::default(),
        })
    }

    /// The key cannot be reached, or can be again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The key signs something else than it was asked to, or is honest again.
    pub fn set_lying(&self, lies: bool) {
        self.lies.store(lies, Ordering::SeqCst);
    }

    /// The next signature waits at this gate.
    pub fn wait_at(&self, gate: &Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate.clone());
    }

    /// How often it was asked to be opened.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// How often it was asked to sign.
    pub fn signed(&self) -> usize {
        self.signed.load(Ordering::SeqCst)
    }

    fn reached(&self) -> Result<(), SignerError> {
        let down = self.down.load(Ordering::SeqCst);
        if down { Err(SignerError::Unavailable("it is out of reach".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Signer for RemoteKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError> {
        self.signed.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        self.reached()?;
        let input = if self.lies.load(Ordering::SeqCst) { b"something else" } else { signing_input };
        self.key.sign(input).map_err(|error| SignerError::Unavailable(error.into()))
    }
}

/// How a process reaches a key that is somewhere else.
#[derive(Debug, Clone)]
pub struct RemoteKeys(pub Arc<RemoteKey>);

#[async_trait]
impl Keys for RemoteKeys {
    async fn open(&self) -> Result<Arc<dyn Signer>, SignerError> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        self.0.reached()?;
        Ok(Arc::clone(&self.0) as _)
    }
}
